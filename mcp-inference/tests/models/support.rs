//! The folder of real models, and a scope to compute for.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use mcp_core::{
    Scope,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_inference::{
    cpu::CpuPool,
    model::{Model, ModelRegistry},
};

/// The folder that `cargo xtask model` filled.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("MCP_TEST_MODELS").map(PathBuf::from).expect(
        "MCP_TEST_MODELS is not set: `cargo xtask test` makes the models and sets it; by hand, `cargo xtask model minilm \
         --out DIR` and `cargo xtask model magika --out DIR` make them, and MCP_TEST_MODELS=DIR says where",
    )
}

pub(crate) fn pool() -> CpuPool {
    CpuPool::start(2, 64).unwrap()
}

/// Every real model, loaded once.
pub(crate) fn registry() -> &'static ModelRegistry {
    static REGISTRY: LazyLock<ModelRegistry> =
        LazyLock::new(|| ModelRegistry::load(&folder(), &pool()).unwrap());
    &REGISTRY
}

pub(crate) fn magika() -> Arc<dyn Model> {
    registry().model("magika", None).unwrap()
}

pub(crate) fn scope(tenant: &str) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("tester").unwrap(),
        kind: PrincipalKind::Service,
        permissions: Permissions::parse(["models:use"]).unwrap(),
    };
    Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
}

//! The operator's side.

use mcp_automation::fleet::launcher::Launcher;
use mcp_platform::embedded::{Embedded, Options};
use napi::bindgen_prelude::{Env, PromiseRaw, Unknown};
use napi_derive::napi;

use crate::{
    bridge::{promise, promise_plain, read, text},
    launch,
    shapes::KeyOptions,
    tenant::Tenant,
};

/// Opens a platform in this process.
///
/// Rejects with `invalid_input` that names the setting, `unavailable` where the data cannot be opened.
#[napi(ts_args_type = "options?: OpenOptions", ts_return_type = "Promise<Platform>")]
pub fn open<'env>(env: &'env Env, options: Option<Unknown<'_>>) -> napi::Result<PromiseRaw<'env, Platform>> {
    let (options, launcher) = (text(env, options)?, launch::command(env)?);
    promise(env, async move {
        let mut options = Options::parse(&options)?;
        if options.launcher == Launcher::ThisProgram {
            options.launcher = launcher;
        }
        Embedded::open(options).await.map(Platform)
    })
}

/// A platform, as its operator. `open()` makes one; close it before the process ends.
#[napi]
pub struct Platform(Embedded);

#[napi]
impl Platform {
    /// Creates a tenant with default limits.
    #[napi(ts_return_type = "Promise<TenantInfo>")]
    pub fn create_tenant<'env>(
        &self,
        env: &'env Env,
        id: String,
        name: String,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let platform = self.0.clone();
        promise_plain(env, async move { platform.create_tenant(&id, &name).await })
    }

    /// Creates an API key and resolves to its text, which is shown now and never again.
    ///
    /// Rejects with `not_found` if there is no such tenant.
    #[napi(ts_args_type = "tenant: string, options?: KeyOptions", ts_return_type = "Promise<string>")]
    pub fn create_key<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        options: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, String>> {
        let (platform, options) = (self.0.clone(), text(env, options)?);
        promise(env, async move {
            let KeyOptions { name, principal, permissions } = read("options", &options)?;
            let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
            Ok(platform.create_key(&tenant, &name, &principal, &permissions).await?.expose().clone())
        })
    }

    /// Mounts an MCP server for all tenants until the platform is closed; mounting again replaces it.
    ///
    /// It is started and its tools are listed before calls go there. Rejects with `upstream` and the reason where
    /// that fails.
    #[napi(ts_args_type = "name: string, server: McpServer", ts_return_type = "Promise<void>")]
    pub fn mount<'env>(
        &self,
        env: &'env Env,
        name: String,
        server: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let (platform, server) = (self.0.clone(), text(env, server)?);
        promise(env, async move { platform.mount(&name, &server).await })
    }

    /// The tenant that a key belongs to, as the key's principal.
    ///
    /// Rejects with `unauthenticated` for a key that is none or was revoked.
    #[napi(ts_return_type = "Promise<Tenant>")]
    pub fn tenant<'env>(&self, env: &'env Env, key: String) -> napi::Result<PromiseRaw<'env, Tenant>> {
        let platform = self.0.clone();
        promise(env, async move { platform.tenant(&key).await.map(Tenant) })
    }

    /// Lets tool calls in flight end, stops the servers and closes the databases. Twice is once.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let platform = self.0.clone();
        promise(env, async move {
            platform.close().await;
            Ok(())
        })
    }
}

//! One tenant's side of an embedded platform.

use std::{fmt, future::Future};

use http::Method;
use mcp_core::{
    Error, Result, Scope,
    key::Secret,
    scope::{PrincipalId, TenantId},
};
use serde_json::Value;

use super::{Embedded, api::Call, tools};

/// Where calls of tools go.
const MCP: (Method, &str) = (Method::POST, "/mcp");

/// A tenant, as the principal of the key it was opened with. Clones share it.
///
/// The key is looked at again in each call, as it is in each request: a handle ends with its key.
#[derive(Clone)]
pub struct TenantHandle {
    embedded: Embedded,
    key: Secret<String>,
    tenant: TenantId,
    principal: PrincipalId,
}

impl TenantHandle {
    pub(super) async fn open(embedded: Embedded, key: Secret<String>) -> Result<Self> {
        embedded.platform()?;
        let whose = async |scope: Scope| Ok((scope.tenant().clone(), scope.principal().id.clone()));
        let (tenant, principal) = embedded.admission().run(&key, (Method::GET, "/"), whose).await?;
        Ok(Self { embedded, key, tenant, principal })
    }

    /// The tenant's id.
    #[must_use]
    pub const fn id(&self) -> &TenantId {
        &self.tenant
    }

    /// As whom the calls are made.
    #[must_use]
    pub const fn principal(&self) -> &PrincipalId {
        &self.principal
    }

    /// The tools of the tenant's servers, as MCP describes them; names begin with the server's.
    ///
    /// # Errors
    /// `PermissionDenied` without `tools:list`; those of every call: `Unauthenticated` once the key is revoked,
    /// `PermissionDenied` once the tenant is suspended, `RateLimited`, `DeadlineExceeded`, `Unavailable` where
    /// too many calls wait, `Cancelled` once the platform is closed.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn list_tools(&self) -> Result<Vec<Value>> {
        let gateway = self.embedded.platform()?.gateway().clone();
        self.run(MCP, async move |scope| tools::list(gateway, scope).await).await
    }

    /// Calls a tool and returns its result as MCP describes it (`content`, `structuredContent`, `isError`): a
    /// tool that ran and failed is a result with `isError`, not an error.
    ///
    /// # Errors
    /// `InvalidInput` for a tool there is not and for arguments that are no object, `Upstream` where its
    /// server fails, `Unsupported` where the tool asks its caller for input; `PermissionDenied` without
    /// `tools:call`; those of every call, as in [`list_tools`](Self::list_tools).
    ///
    /// # Cancellation
    /// The server is told that nobody waits any more; whether the tool did its work is then unknown.
    pub async fn call_tool(&self, name: &str, arguments: &Value) -> Result<Value> {
        let gateway = self.embedded.platform()?.gateway().clone();
        let (name, arguments) = (name.to_owned(), arguments.clone());
        self.run(MCP, async move |scope| tools::call(gateway, scope, &name, arguments).await).await
    }

    /// A request to the REST API.
    pub(super) async fn call(&self, call: Call) -> Result<Value> {
        let router = self.embedded.router()?;
        let (method, path) = call.head();
        self.run((method, &path), async move |scope| call.send(router, scope).await).await
    }

    /// The model that embeds where none is named.
    pub(super) fn embedder(&self) -> Result<String> {
        self.embedded.platform()?.embedder_name().map(str::to_owned).ok_or_else(|| {
            let message =
                "no local model embeds: put one into inference.models_dir (`cargo xtask model minilm`)";
            Error::not_found("embedded.embed", message)
        })
    }

    /// Does `job` behind the layers.
    async fn run<T, F>(
        &self,
        head: (Method, &str),
        job: impl FnOnce(Scope) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.embedded.admission().run(&self.key, head, job).await
    }
}

impl fmt::Debug for TenantHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantHandle")
            .field("tenant", &self.tenant)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

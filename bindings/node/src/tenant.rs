//! A tenant's side.

use mcp_platform::embedded::TenantHandle;
use napi::bindgen_prelude::{Env, PromiseRaw, Unknown};
use napi_derive::napi;

use crate::bridge::{promise_plain, read, text};

/// A tenant, as the principal of the key it was opened with, which is looked at again in each call.
///
/// Each call rejects, beside what it says itself, with `unauthenticated` once the key is revoked,
/// `permission_denied` without the permission or once the tenant is suspended, `rate_limited`,
/// `deadline_exceeded`, and `cancelled` once the platform is closed.
#[napi]
pub struct Tenant(pub(crate) TenantHandle);

#[napi]
impl Tenant {
    /// The tenant's id.
    #[napi(getter)]
    pub fn id(&self) -> &str {
        self.0.id().as_str()
    }

    /// As whom the calls are made.
    #[napi(getter)]
    pub fn principal(&self) -> &str {
        self.0.principal().as_str()
    }

    /// The tools of the tenant's MCP servers; names begin with the server's, as in `time__now`.
    #[napi(ts_return_type = "Promise<Array<Tool>>")]
    pub fn list_tools<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let tenant = self.0.clone();
        promise_plain(env, async move { tenant.list_tools().await })
    }

    /// Calls a tool. One that ran and failed is a result with `isError`, not a rejection.
    ///
    /// Rejects with `invalid_input` for a tool there is not, `upstream` where its server fails.
    #[napi(
        ts_return_type = "Promise<ToolResult>",
        ts_args_type = "name: string, arguments?: Record<string, unknown>"
    )]
    pub fn call_tool<'env>(
        &self,
        env: &'env Env,
        name: String,
        arguments: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let tenant = self.0.clone();
        let arguments = text(env, arguments)?;
        promise_plain(env, async move { tenant.call_tool(&name, &read("arguments", &arguments)?).await })
    }
}

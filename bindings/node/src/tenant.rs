//! A tenant's side.

use mcp_platform::embedded::TenantHandle;
use napi::bindgen_prelude::{Env, PromiseRaw, Unknown};
use napi_derive::napi;

use crate::{
    bridge::{promise, promise_plain, read, text},
    shapes::AppendOptions,
};

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

    /// Creates a context: a conversation, and the data around it. Without `user_id` it is the principal's.
    #[napi(ts_args_type = "context?: NewContext", ts_return_type = "Promise<Context>")]
    pub fn create_context<'env>(
        &self,
        env: &'env Env,
        context: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let (tenant, context) = (self.0.clone(), text(env, context)?);
        promise_plain(env, async move { tenant.create_context(&read("context", &context)?).await })
    }

    /// The context with its newest messages, 100 by default. Rejects with `not_found`.
    #[napi(ts_return_type = "Promise<Context>")]
    pub fn read_context<'env>(
        &self,
        env: &'env Env,
        id: String,
        messages: Option<u32>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let tenant = self.0.clone();
        promise_plain(env, async move { tenant.read_context(&id, messages).await })
    }

    /// A page of contexts without their data, latest created first; `next_cursor` where there are more.
    #[napi(ts_args_type = "filter?: ContextFilter", ts_return_type = "Promise<ContextPage>")]
    pub fn list_contexts<'env>(
        &self,
        env: &'env Env,
        filter: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let (tenant, filter) = (self.0.clone(), text(env, filter)?);
        promise_plain(env, async move { tenant.list_contexts(&read("filter", &filter)?).await })
    }

    /// Appends messages, all or none; once for an idempotency key.
    ///
    /// Rejects with `conflict` and the `current_version` where another was expected.
    #[napi(
        ts_args_type = "id: string, messages: Array<NewMessage>, options?: AppendOptions",
        ts_return_type = "Promise<Appended>"
    )]
    pub fn append<'env>(
        &self,
        env: &'env Env,
        id: String,
        messages: Option<Unknown<'_>>,
        options: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let (tenant, messages, options) = (self.0.clone(), text(env, messages)?, text(env, options)?);
        promise_plain(env, async move {
            let AppendOptions { expected_version, idempotency_key } = read("options", &options)?;
            let messages = read("messages", &messages)?;
            tenant.append(&id, &messages, expected_version, idempotency_key.as_deref()).await
        })
    }

    /// Merges a patch into the context's data (RFC 7396): null removes, objects are merged, the rest replaces.
    ///
    /// Rejects with `conflict` and the `current_version` where it is another.
    #[napi(
        ts_args_type = "id: string, patch: Record<string, unknown>, expectedVersion: number",
        ts_return_type = "Promise<Context>"
    )]
    pub fn patch_context<'env>(
        &self,
        env: &'env Env,
        id: String,
        patch: Option<Unknown<'_>>,
        expected_version: i64,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let (tenant, patch) = (self.0.clone(), text(env, patch)?);
        promise_plain(env, async move {
            tenant.patch_context(&id, &read("patch", &patch)?, expected_version).await
        })
    }

    /// Deletes the context and its messages, in any version where none is expected.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn delete_context<'env>(
        &self,
        env: &'env Env,
        id: String,
        expected_version: Option<i64>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let tenant = self.0.clone();
        promise(env, async move { tenant.delete_context(&id, expected_version).await })
    }

    /// Remembers a text in a namespace: `user/…`, `agent/…` or `session/…`. The same text is there once.
    #[napi(
        ts_args_type = "namespace: string, text: string, metadata?: Record<string, unknown>",
        ts_return_type = "Promise<Memory>"
    )]
    pub fn remember<'env>(
        &self,
        env: &'env Env,
        namespace: String,
        remembered: String,
        metadata: Option<Unknown<'_>>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let (tenant, metadata) = (self.0.clone(), text(env, metadata)?);
        promise_plain(env, async move {
            tenant.remember(&namespace, &remembered, &read("metadata", &metadata)?).await
        })
    }

    /// What of a namespace is nearest to a query, best first; 10 by default, at most 100.
    #[napi(ts_return_type = "Promise<Recalled>")]
    pub fn recall<'env>(
        &self,
        env: &'env Env,
        namespace: String,
        query: String,
        limit: Option<u32>,
    ) -> napi::Result<PromiseRaw<'env, Unknown<'env>>> {
        let tenant = self.0.clone();
        promise_plain(env, async move { tenant.recall(&namespace, &query, limit).await })
    }

    /// The vectors of texts, by a local model or by the first that embeds. Rejects with `not_found` without one.
    #[napi(ts_return_type = "Promise<Array<Array<number>>>")]
    pub fn embed<'env>(
        &self,
        env: &'env Env,
        texts: Vec<String>,
        model: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, Vec<Vec<f32>>>> {
        let tenant = self.0.clone();
        promise(env, async move {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            tenant.embed(&texts, model.as_deref()).await
        })
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

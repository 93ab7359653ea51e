//! What a tenant remembers: contexts and memories, as the REST API has them.

use http::Method;
use mcp_core::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    TenantHandle,
    api::{Call, encoded},
};

/// Which contexts, latest created first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContextFilter {
    /// Those of this user. Default: of all.
    pub user_id: Option<String>,
    /// Those of this session. Default: of all.
    pub session_id: Option<String>,
    /// `next_cursor` of the page before. Default: the first page.
    pub cursor: Option<String>,
    /// How many, 1 to 200. Default: 50.
    pub limit: Option<u32>,
}

/// Contexts and memories. What is returned is the JSON of the REST API; what every call may fail with stands at
/// [`list_tools`](TenantHandle::list_tools), here with the permissions `contexts:read`, `contexts:write`,
/// `memories:read` and `memories:write`. A call that is cancelled has happened whole or not at all.
impl TenantHandle {
    /// Creates a context from `user_id`, `session_id` and `data`, each of which may be missing.
    ///
    /// # Errors
    /// `InvalidInput` and `TooLarge` that name the field, `RateLimited` where the tenant has as many as it may.
    pub async fn create_context(&self, new: &Value) -> Result<Value> {
        self.call(Call::new(Method::POST, "/api/v1/contexts".to_owned()).body(new.clone())).await
    }

    /// A context with its newest messages (default 100).
    ///
    /// # Errors
    /// `NotFound`, for another tenant's too.
    pub async fn read_context(&self, id: &str, messages: Option<u32>) -> Result<Value> {
        let messages = messages.map(|messages| messages.to_string());
        self.call(Call::new(Method::GET, path(id)).query("messages", messages.as_deref())).await
    }

    /// A page of contexts without their data: `items`, and `next_cursor` where there are more.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this list did not give, or a limit out of bounds.
    pub async fn list_contexts(&self, filter: &ContextFilter) -> Result<Value> {
        let limit = filter.limit.map(|limit| limit.to_string());
        let call = Call::new(Method::GET, "/api/v1/contexts".to_owned())
            .query("user_id", filter.user_id.as_deref())
            .query("session_id", filter.session_id.as_deref())
            .query("cursor", filter.cursor.as_deref())
            .query("limit", limit.as_deref());
        self.call(call).await
    }

    /// Appends messages (`role`, `content`, `metadata`), all or none; to that version alone where one is
    /// expected, and once for an idempotency key. Returns `version`, `first_seq` and `last_seq`.
    ///
    /// # Errors
    /// `InvalidInput` and `TooLarge` that name the message, `NotFound`, `Conflict` with the current version.
    pub async fn append(
        &self,
        id: &str,
        messages: &Value,
        expected_version: Option<i64>,
        idempotency_key: Option<&str>,
    ) -> Result<Value> {
        let mut body = json!({ "messages": messages });
        if let Some(version) = expected_version {
            body["expected_version"] = json!(version);
        }
        let call = Call::new(Method::POST, format!("{}/messages", path(id))).body(body);
        self.call(call.idempotency_key(idempotency_key)).await
    }

    /// Merges `patch` into the context's data (RFC 7396) if it has the expected version.
    ///
    /// # Errors
    /// `InvalidInput` where it touches the messages, `TooLarge`, `NotFound`, `Conflict` with the current version.
    pub async fn patch_context(&self, id: &str, patch: &Value, expected_version: i64) -> Result<Value> {
        let body = json!({ "data": patch, "expected_version": expected_version });
        self.call(Call::new(Method::PATCH, path(id)).body(body)).await
    }

    /// Deletes the context and its messages, if it has the expected version where one is.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` with the current version.
    pub async fn delete_context(&self, id: &str, expected_version: Option<i64>) -> Result<()> {
        self.call(Call::new(Method::DELETE, path(id)).if_match(expected_version)).await.map(drop)
    }

    /// Remembers a text in a namespace (`user/…`, `agent/…`, `session/…`); one it has already is not added.
    ///
    /// # Errors
    /// `InvalidInput` and `TooLarge` that name the field.
    pub async fn remember(&self, namespace: &str, text: &str, metadata: &Value) -> Result<Value> {
        let body = json!({ "namespace": namespace, "text": text, "metadata": metadata });
        self.call(Call::new(Method::POST, "/api/v1/memories".to_owned()).body(body)).await
    }

    /// What of a namespace is nearest to a query, best first (default 10): `items` with `score`, and whether
    /// meanings were compared (`semantic`) or words alone.
    ///
    /// # Errors
    /// `InvalidInput` that names the field.
    pub async fn recall(&self, namespace: &str, query: &str, limit: Option<u32>) -> Result<Value> {
        let mut body = json!({ "namespace": namespace, "query": query });
        if let Some(limit) = limit {
            body["limit"] = json!(limit);
        }
        self.call(Call::new(Method::POST, "/api/v1/memories/recall".to_owned()).body(body)).await
    }

    /// The vectors of texts by a local model, or by the first that embeds: each of length 1.
    ///
    /// # Errors
    /// `NotFound` where there is no such model, `InvalidInput` for no text or too many; `PermissionDenied` without
    /// `models:use`.
    pub async fn embed(&self, texts: &[&str], model: Option<&str>) -> Result<Vec<Vec<f32>>> {
        let model = match model {
            Some(model) => model.to_owned(),
            None => self.embedder()?,
        };
        let body = json!({ "model": model, "input": texts });
        let mut answer = self.call(Call::new(Method::POST, "/v1/embeddings".to_owned()).body(body)).await?;
        let vectors = answer["data"].as_array_mut().map(std::mem::take).unwrap_or_default().into_iter();
        vectors
            .map(|mut item| serde_json::from_value(item["embedding"].take()))
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| mcp_core::Error::internal("embedded.embed", error.to_string()))
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/contexts/{}", encoded(id))
}

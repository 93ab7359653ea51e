//! Contexts without the personal data and secrets that their tenant's policy wants gone.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{Result, Scope, redact::Redactor};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Append, Appended, Content, Context, ContextHead, ContextId, ContextQuery, ContextStore, Message,
    MessageQuery, NewContext, NewMessage, Part, check::json_of,
};
use crate::{Page, redact};

/// A [`ContextStore`] before another: what is to be stored goes through a [`Redactor`] first, so that neither rows
/// nor events nor backups ever hold what the tenant's policy wants gone.
///
/// That is the data of contexts and patches to it, and of messages what they say (texts, JSON, arguments and results
/// of tools) and their metadata; names of fields, too. It is not what things are found by: ids and names of users,
/// sessions, tools and their calls, and idempotency keys. What was stored before stays as it is.
///
/// Where the policy refuses, nothing is stored, and the error names the field and the kind of what it holds, never
/// the value. Where it masks, two names of fields that are personal data may become one: who keeps data under such
/// names wants them hashed.
#[derive(Debug, Clone)]
pub struct RedactingContextStore {
    inner: Arc<dyn ContextStore>,
    redactor: Arc<dyn Redactor>,
}

impl RedactingContextStore {
    /// Stores in `inner` what `redactor` lets through.
    #[must_use]
    pub const fn new(inner: Arc<dyn ContextStore>, redactor: Arc<dyn Redactor>) -> Self {
        Self { inner, redactor }
    }

    async fn data(
        &self,
        scope: &Scope,
        operation: &'static str,
        data: Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let bytes = bytes(operation, &data)?;
        redact::redacted(&self.redactor, scope, bytes, |redactor, scope| {
            redact::object(redactor, scope, "data", data)
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ContextStore for RedactingContextStore {
    async fn create(&self, scope: &Scope, new: NewContext) -> Result<Context> {
        let NewContext { data, .. } = new;
        let data = self.data(scope, "context.create", data).await?;
        self.inner.create(scope, NewContext { data, ..new }).await
    }

    async fn read(&self, scope: &Scope, id: &ContextId, newest: u32) -> Result<Context> {
        self.inner.read(scope, id, newest).await
    }

    async fn list(&self, scope: &Scope, query: &ContextQuery) -> Result<Page<ContextHead>> {
        self.inner.list(scope, query).await
    }

    async fn messages(&self, scope: &Scope, id: &ContextId, query: &MessageQuery) -> Result<Page<Message>> {
        self.inner.messages(scope, id, query).await
    }

    async fn append(&self, scope: &Scope, id: &ContextId, append: Append) -> Result<Appended> {
        let Append { messages, expected_version, idempotency_key } = append;
        let bytes = bytes("context.append", &messages)?;
        let messages = redact::redacted(&self.redactor, scope, bytes, |redactor, scope| {
            let redacted = |(at, said)| message(redactor, scope, at, said);
            messages.into_iter().enumerate().map(redacted).collect::<Result<Vec<_>>>()
        });
        let messages = messages.await?;
        self.inner.append(scope, id, Append { messages, expected_version, idempotency_key }).await
    }

    async fn patch(
        &self,
        scope: &Scope,
        id: &ContextId,
        patch: Map<String, Value>,
        expected_version: i64,
    ) -> Result<Context> {
        let patch = self.data(scope, "context.patch", patch).await?;
        self.inner.patch(scope, id, patch, expected_version).await
    }

    async fn delete(&self, scope: &Scope, id: &ContextId, expected_version: Option<i64>) -> Result<()> {
        self.inner.delete(scope, id, expected_version).await
    }
}

fn bytes(operation: &'static str, value: &impl Serialize) -> Result<usize> {
    json_of(operation, value).map(|form| form.len())
}

fn message(redactor: &dyn Redactor, scope: &Scope, at: usize, said: NewMessage) -> Result<NewMessage> {
    let NewMessage { role, content: Content(parts), metadata } = said;
    let path = format!("messages/{at}/content");
    let parts = parts.into_iter().map(|part| self::part(redactor, scope, &path, part));
    let content = Content(parts.collect::<Result<_>>()?);
    let metadata = redact::object(redactor, scope, &format!("messages/{at}/metadata"), metadata)?;
    Ok(NewMessage { role, content, metadata })
}

fn part(redactor: &dyn Redactor, scope: &Scope, path: &str, part: Part) -> Result<Part> {
    let value = |value| redact::value(redactor, scope, path, value);
    Ok(match part {
        Part::Text { text } => Part::Text { text: redact::text(redactor, scope, path, text)? },
        Part::Json { json } => Part::Json { json: value(json)? },
        Part::ToolCall { id, name, arguments } => Part::ToolCall { id, name, arguments: value(arguments)? },
        Part::ToolResult { id, result, is_error } => {
            Part::ToolResult { id, result: value(result)?, is_error }
        }
    })
}

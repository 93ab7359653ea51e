//! A context, its messages, and what they are made from.

use std::fmt;

use mcp_core::{Error, Result, clock::Timestamp, scope::TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The field of a context's data in which its messages are shown. It cannot be set: messages are appended.
pub const HISTORY: &str = "conversation_history";

/// A context's id: a UUIDv7, so that the order of ids is that of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ContextId(Uuid);

impl ContextId {
    /// A fresh id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Parses an id in its one spelling: 36 characters, lower case, with hyphens.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) for any other text, as for an id that no context has: whose
    /// it might be is not told apart.
    pub fn parse(text: &str) -> Result<Self> {
        let id = Uuid::parse_str(text).ok().filter(|id| id.to_string() == text);
        id.map(Self).ok_or_else(|| super::store::not_found("context.read"))
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Whoever set the conversation up.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

impl Role {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// Parses [`as_str`](Self::as_str).
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        [Self::System, Self::User, Self::Assistant, Self::Tool]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| {
                Error::invalid_input("context.role", "a role is `system`, `user`, `assistant` or `tool`")
            })
    }
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// Structured content.
    Json {
        /// Any JSON.
        json: Value,
    },
    /// The model calls a tool.
    ToolCall {
        /// The call's id, which its result names.
        id: String,
        /// The tool.
        name: String,
        /// What it is called with.
        arguments: Value,
    },
    /// What a tool answered.
    ToolResult {
        /// The id of the call.
        id: String,
        /// The answer.
        result: Value,
        /// Whether the tool failed.
        #[serde(default)]
        is_error: bool,
    },
}

/// What a message says. On the wire it is a list of parts, or a string where it is one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Content(pub Vec<Part>);

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self(vec![Part::Text { text: text.to_owned() }])
    }
}

/// A message to be appended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said: at least one part.
    pub content: Content,
    /// What the caller wants to remember of it. Default empty.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl NewMessage {
    /// A message of one text.
    #[must_use]
    pub fn text(role: Role, text: &str) -> Self {
        Self { role, content: text.into(), metadata: Map::new() }
    }
}

/// A message of a context. Messages are never changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its number in its context: 1, 2, 3 … without gaps.
    pub seq: i64,
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
    /// What the caller wanted to remember of it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The principal that appended it.
    pub author: String,
    /// When.
    pub created_at: Timestamp,
}

/// A context to be created.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewContext {
    /// Whose it is: 1 to 128 characters. Default the scope's principal.
    pub user_id: Option<String>,
    /// The session it belongs to: 1 to 128 characters. Default none.
    pub session_id: Option<String>,
    /// Its data, without [`HISTORY`]. Default empty.
    pub data: Map<String, Value>,
    /// Refuse where the tenant has this many contexts. Default: no limit.
    pub at_most: Option<u32>,
    /// Makes trying again safe: 1 to 128 characters. Default none.
    pub idempotency_key: Option<String>,
}

/// Messages to be appended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Append {
    /// The messages, in their order.
    pub messages: Vec<NewMessage>,
    /// Append only to this version. Default: to any.
    pub expected_version: Option<i64>,
    /// Makes trying again safe: 1 to 128 characters. Default none.
    pub idempotency_key: Option<String>,
}

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Appended {
    /// The context's version since.
    pub version: i64,
    /// The number of the first message appended.
    pub first_seq: i64,
    /// The number of the last.
    pub last_seq: i64,
}

/// A context but for its data and messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextHead {
    /// Its id.
    pub id: ContextId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Whose it is.
    pub user_id: String,
    /// The session it belongs to.
    pub session_id: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was changed last; never earlier than before, whatever the clock says.
    pub updated_at: Timestamp,
    /// Counts its changes: 1 when created.
    pub version: i64,
    /// How many messages it has, and so the number of the last.
    pub messages: i64,
}

/// A context.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// All but data and messages.
    pub head: ContextHead,
    /// Its data, without [`HISTORY`].
    pub data: Map<String, Value>,
    /// Its newest messages, oldest first, where they were asked for.
    pub history: Option<Vec<Message>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_context_has_the_documented_json_form() {
        let at = Timestamp::from_micros(1_704_110_400_000_000);
        let id = ContextId::generate();
        let head = ContextHead {
            id,
            tenant: TenantId::parse("tenant-123").unwrap(),
            user_id: "user-789".into(),
            session_id: Some("s-1".into()),
            created_at: at,
            updated_at: at,
            version: 2,
            messages: 1,
        };
        let message = Message {
            seq: 1,
            role: Role::User,
            content: "hi".into(),
            metadata: Map::new(),
            author: "user-789".into(),
            created_at: at,
        };
        let data = json!({"user_preferences": {"lang": "de"}}).as_object().unwrap().clone();
        let context = Context { head, data, history: Some(vec![message]) };
        assert_eq!(
            serde_json::to_value(&context).unwrap(),
            json!({
                "context_id": id.to_string(), "tenant_id": "tenant-123", "user_id": "user-789",
                "session_id": "s-1",
                "metadata": {
                    "created_at": "2024-01-01T12:00:00Z", "updated_at": "2024-01-01T12:00:00Z",
                    "version": 2, "messages": 1,
                },
                "data": {
                    "conversation_history": [{
                        "seq": 1, "role": "user", "content": "hi", "author": "user-789",
                        "created_at": "2024-01-01T12:00:00Z",
                    }],
                    "user_preferences": {"lang": "de"},
                },
            })
        );
    }

    #[test]
    fn one_text_is_a_string_and_everything_else_a_list() {
        let parts = json!([{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}]);
        let content: Content = serde_json::from_value(parts.clone()).unwrap();
        assert_eq!(serde_json::to_value(&content).unwrap(), parts);
        let text: Content = serde_json::from_value(json!([{"type": "text", "text": "hi"}])).unwrap();
        assert_eq!(serde_json::to_value(&text).unwrap(), json!("hi"));
        let unknown = serde_json::from_value::<Content>(json!([{"type": "text", "txt": "hi"}]));
        assert!(unknown.unwrap_err().to_string().contains("txt"));
        assert!(serde_json::from_value::<Content>(json!(7)).unwrap_err().to_string().contains("a string or"));
    }

    #[test]
    fn an_id_has_one_spelling_and_another_is_not_found() {
        let id = ContextId::generate();
        assert_eq!(ContextId::parse(&id.to_string()).unwrap(), id);
        for text in ["", "ctx", &id.to_string().to_uppercase(), &id.to_string().replace('-', "")] {
            assert_eq!(ContextId::parse(text).unwrap_err().kind(), mcp_core::ErrorKind::NotFound);
        }
    }
}

//! What a caller asks.

use mcp_core::{Error, Result, error::Detail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A request for a chat completion. Fields this crate does not use (tools, temperature, response format …)
/// stay in `rest` and are passed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model: for a router the name of a route, for a provider one of its models.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Whether the answer comes in chunks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// A text, parts (texts, images, …), or nothing beside tool calls.
    #[serde(default)]
    pub content: Value,
    /// Everything else, such as `tool_calls` and `tool_call_id`.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ChatMessage {
    /// A message of text.
    #[must_use]
    pub fn text(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: Value::String(content.into()), rest: Map::new() }
    }
}

impl ChatRequest {
    /// A request with nothing but messages.
    #[must_use]
    pub fn new(model: impl Into<String>, messages: Vec<ChatMessage>) -> Self {
        Self { model: model.into(), messages, stream: false, rest: Map::new() }
    }

    /// Checks what every provider asks for.
    ///
    /// # Errors
    /// `InvalidInput` that names the field.
    pub fn check(&self) -> Result<()> {
        if self.model.is_empty() {
            return Err(refuse("model", "`model` is empty"));
        }
        if self.messages.is_empty() {
            return Err(refuse("messages", "`messages` is empty"));
        }
        let odd = |message: &ChatMessage| {
            !matches!(message.content, Value::String(_) | Value::Array(_) | Value::Null)
        };
        if let Some(at) = self.messages.iter().position(odd) {
            let path = format!("messages/{at}/content");
            return Err(refuse(&path, &format!("`{path}` is neither a text nor an array of parts")));
        }
        Ok(())
    }
}

fn refuse(path: &str, message: &str) -> Error {
    Error::invalid_input("chat.check", message.to_owned())
        .with_detail(Detail::Field { path: path.to_owned(), nearest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_kept() {
        let json = serde_json::json!({
            "model": "m",
            "messages": [
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "1" }] },
                { "role": "tool", "content": "42", "tool_call_id": "1" },
            ],
            "stream": true,
            "tools": [{ "type": "function" }],
            "x_new": 1.5,
        });
        let request: ChatRequest = serde_json::from_value(json.clone()).unwrap();
        request.check().unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), json);
    }

    #[test]
    fn a_request_that_no_provider_takes_is_refused_by_field() {
        let mut request = ChatRequest::new("m", vec![ChatMessage::text("user", "hello")]);
        request.check().unwrap();
        request.messages[0].content = Value::from(5);
        assert!(request.check().unwrap_err().message().contains("messages/0/content"));
        request.messages.clear();
        assert!(request.check().unwrap_err().message().contains("messages"));
    }
}

//! What a provider answers, whole or in chunks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ChatMessage;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// The provider's id of the answer.
    pub id: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: i64,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// The answers; one unless the request asked for more.
    pub choices: Vec<Choice>,
    /// What it took, where the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Its place among them.
    #[serde(default)]
    pub index: u32,
    /// What the model says.
    pub message: ChatMessage,
    /// Why it ended: `stop`, `length`, `tool_calls`, `content_filter`.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// The provider's id of the answer.
    pub id: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: i64,
    /// The model that answers, as the provider names it.
    #[serde(default)]
    pub model: String,
    /// What is new in each answer; a last chunk may have none but `usage`, or both.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// What it took, in one of the last chunks where the request asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What is new in one of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// Its place among them.
    #[serde(default)]
    pub index: u32,
    /// What is new.
    #[serde(default)]
    pub delta: Delta,
    /// Why it ended, where it has.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What is new of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Who speaks, in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// More text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Everything else, such as pieces of `tool_calls`.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What an answer took, in tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the request.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Both.
    #[serde(default)]
    pub total_tokens: u64,
    /// Everything else, such as how many of them were cached.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ChatChunk {
    /// Whether the chunk holds part of an answer, or its end. What comes before such a chunk says only that
    /// one begins.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.choices.iter().any(|choice| {
            let text = choice.delta.content.as_deref().is_some_and(|text| !text.is_empty());
            let other = choice.delta.rest.values().any(|value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            });
            text || other || choice.finish_reason.is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(choices: Value) -> ChatChunk {
        serde_json::from_value(
            serde_json::json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices }),
        )
        .unwrap()
    }

    #[test]
    fn only_what_adds_to_the_answer_is_content() {
        for (delta, content) in [
            (serde_json::json!({ "role": "assistant", "content": "" }), false),
            (serde_json::json!({ "role": "assistant", "content": null, "refusal": null }), false),
            (serde_json::json!({ "content": "a" }), true),
            (serde_json::json!({ "tool_calls": [{ "index": 0 }] }), true),
            (serde_json::json!({ "reasoning_content": "hm" }), true),
        ] {
            let chunk = chunk(serde_json::json!([{ "index": 0, "delta": delta, "finish_reason": null }]));
            assert_eq!(chunk.has_content(), content, "{delta}");
        }
        assert!(!chunk(serde_json::json!([])).has_content());
        assert!(chunk(serde_json::json!([{ "delta": {}, "finish_reason": "stop" }])).has_content());
    }
}

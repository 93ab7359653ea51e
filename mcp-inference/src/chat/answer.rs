//! What is answered.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Usage, usage};

/// A whole answer: the provider's own JSON.
#[derive(Clone)]
pub struct ChatCompletion {
    /// The JSON object.
    pub json: Bytes,
    /// What it used, where the provider says so.
    pub usage: Option<Usage>,
}

/// One chunk of an answer: the provider's own JSON, on one line.
#[derive(Clone)]
pub struct ChatChunk {
    /// The JSON object; holds no line end.
    pub json: Bytes,
    /// Whether it carries something of the answer, and not only that one has begun.
    pub content: bool,
    /// Whether a choice ends with it.
    pub finish: bool,
    /// Whether it has no choices, so that only a caller who asked for `usage` expects it.
    pub usage_only: bool,
    /// What the answer used, in the last chunk or the one that ends the choice.
    pub usage: Option<Usage>,
}

impl fmt::Debug for ChatCompletion {
    /// Without what was said: conversations do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatCompletion").field("usage", &self.usage).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChatChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatChunk")
            .field("content", &self.content)
            .field("finish", &self.finish)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

/// What a provider sent in place of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// An error, though the status said that all is well; whether it is a rate limit.
    Error { rate_limit: bool },
    /// Something else.
    Nonsense,
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<usage::Wire>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl ChatCompletion {
    pub(super) fn parse(json: Bytes) -> Result<Self, NoAnswer> {
        let answer = parse(&json)?;
        let choices = answer.choices.unwrap_or_default();
        if choices.is_empty() || choices.iter().any(|choice| !choice.message.is_some_and(is_object)) {
            return Err(NoAnswer::Nonsense);
        }
        let usage = answer.usage.map(Usage::from);
        Ok(Self { json, usage })
    }
}

impl ChatChunk {
    pub(super) fn parse(json: Bytes) -> Result<Self, NoAnswer> {
        let answer = parse(&json)?;
        let choices = answer.choices.ok_or(NoAnswer::Nonsense)?;
        let content = choices.iter().filter_map(|choice| choice.delta).any(has_content);
        let finish = choices.iter().any(|choice| choice.finish_reason.is_some());
        let (usage_only, usage) = (choices.is_empty(), answer.usage.map(Usage::from));
        Ok(Self { json: one_line(json), content, finish, usage_only, usage })
    }
}

fn parse(json: &[u8]) -> Result<Completion<'_>, NoAnswer> {
    let answer: Completion<'_> = serde_json::from_slice(json).map_err(|_| NoAnswer::Nonsense)?;
    match answer.error {
        Some(error) => Err(NoAnswer::Error { rate_limit: is_rate_limit(error) }),
        None => Ok(answer),
    }
}

/// Whether there is more in a delta than that a message begins.
fn has_content(delta: &RawValue) -> bool {
    let empty = |value: &RawValue| matches!(value.get(), "null" | "\"\"" | "[]" | "{}");
    serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(delta.get())
        .is_ok_and(|delta| delta.iter().any(|(field, value)| field != "role" && !empty(value)))
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// Whether an error inside a good status stands for a 429.
fn is_rate_limit(error: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Inside<'a> {
        #[serde(borrow, default)]
        code: Option<&'a RawValue>,
        #[serde(borrow, default)]
        r#type: Option<&'a RawValue>,
    }
    let Ok(inside) = serde_json::from_str::<Inside<'_>>(error.get()) else { return false };
    let says = |value: Option<&RawValue>| {
        value.is_some_and(|value| {
            matches!(value.get(), "429" | "\"429\"") || value.get().contains("rate_limit")
        })
    };
    says(inside.code) || says(inside.r#type)
}

/// JSON's strings hold no raw line ends, so those outside of them are blanks.
fn one_line(json: Bytes) -> Bytes {
    if !json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return json;
    }
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(json: &'static str) -> Result<ChatChunk, NoAnswer> {
        ChatChunk::parse(Bytes::from_static(json.as_bytes()))
    }

    #[test]
    fn that_an_answer_begins_is_no_content() {
        for json in [
            r#"{"choices":[{"delta":{"role":"assistant"}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":"","refusal":null,"tool_calls":[]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":null}]}"#,
            r#"{"choices":[],"prompt_filter_results":[]}"#,
        ] {
            let chunk = chunk(json).unwrap();
            assert!(!chunk.content && !chunk.finish, "{json}");
        }
        for json in [
            r#"{"choices":[{"delta":{"content":"H"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
        ] {
            assert!(chunk(json).unwrap().content, "{json}");
        }
    }

    #[test]
    fn the_last_chunk_may_carry_choices_and_usage() {
        let chunk = chunk(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        )
        .unwrap();
        assert!(chunk.finish && !chunk.usage_only);
        assert_eq!(chunk.usage, Some(Usage { prompt: 9, completion: 3, cached: 4 }));
    }

    #[test]
    fn an_error_inside_a_good_status_is_an_error() {
        let none = |json: &'static str| chunk(json).unwrap_err();
        assert_eq!(none(r#"{"error":{"message":"x"}}"#), NoAnswer::Error { rate_limit: false });
        assert_eq!(none(r#"{"error":"overloaded"}"#), NoAnswer::Error { rate_limit: false });
        assert_eq!(none(r#"{"error":{"code":"rate_limit_exceeded"}}"#), NoAnswer::Error { rate_limit: true });
        assert_eq!(none(r#"{"error":{"code":429}}"#), NoAnswer::Error { rate_limit: true });
        for json in ["", "null", "[]", "{}", "<html>", r#"{"choices":7}"#] {
            assert_eq!(none(json), NoAnswer::Nonsense, "{json}");
        }
    }

    #[test]
    fn a_completion_has_a_message() {
        let parse = |json: &'static str| ChatCompletion::parse(Bytes::from_static(json.as_bytes()));
        assert!(parse(r#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#).is_ok());
        for json in ["{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":"hi"}]}"#, r#"{"choices":[{}]}"#] {
            assert_eq!(parse(json).unwrap_err(), NoAnswer::Nonsense, "{json}");
        }
    }

    #[test]
    fn a_chunk_over_several_lines_becomes_one() {
        let chunk = chunk("{\n\"choices\":\r\n[]}").unwrap();
        assert_eq!(chunk.json, "{ \"choices\":  []}");
    }
}

//! What may be stored: sizes and characters, checked before a database is asked for anything.

use aws_lc_rs::digest::{SHA256, digest};
use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Append, ContextId, HISTORY, NewContext, NewMessage};

/// How large things may be. The default is fit for a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextLimits {
    /// Bytes of a message: its content and metadata as JSON. Default 64 KiB.
    pub message_bytes: usize,
    /// Messages in one append. Default 100.
    pub messages_per_append: usize,
    /// Bytes of a context's data, and of a patch, as JSON. Default 64 KiB, at most 128 KiB: a patch travels in
    /// its event.
    pub data_bytes: usize,
}

impl Default for ContextLimits {
    fn default() -> Self {
        Self { message_bytes: 64 * 1024, messages_per_append: 100, data_bytes: 64 * 1024 }
    }
}

/// What an event can carry beside its envelope.
const MOST_DATA: usize = 128 * 1024;

/// Longest `user_id`, `session_id` and idempotency key, in bytes.
const MAX_NAME: usize = 128;

impl ContextLimits {
    pub(super) fn new_context(&self, new: &NewContext) -> Result<()> {
        for (path, text) in [
            ("user_id", &new.user_id),
            ("session_id", &new.session_id),
            ("idempotency_key", &new.idempotency_key),
        ] {
            if let Some(text) = text {
                name("context.create", path, text)?;
            }
        }
        self.object("context.create", &new.data)
    }

    pub(super) fn append(&self, append: &Append) -> Result<()> {
        const OPERATION: &str = "context.append";
        if let Some(key) = &append.idempotency_key {
            name(OPERATION, "idempotency_key", key)?;
        }
        let most = self.messages_per_append;
        if append.messages.is_empty() || append.messages.len() > most {
            let message = format!("`messages` must hold 1 to {most} messages");
            return Err(field(Error::invalid_input(OPERATION, message), "messages"));
        }
        append.messages.iter().enumerate().try_for_each(|(at, message)| self.message(at, message))
    }

    fn message(&self, at: usize, message: &NewMessage) -> Result<()> {
        const OPERATION: &str = "context.append";
        let path = format!("messages/{at}");
        if message.content.0.is_empty() {
            let error = Error::invalid_input(OPERATION, format!("`{path}/content` must not be empty"));
            return Err(field(error, format!("{path}/content")));
        }
        let form = json_of(OPERATION, &(&message.content, &message.metadata))?;
        within(OPERATION, &path, form.len(), self.message_bytes)?;
        no_nul(OPERATION, &path, &form)
    }

    /// A patch, or data to begin with.
    pub(super) fn object(&self, operation: &'static str, object: &Map<String, Value>) -> Result<()> {
        if object.contains_key(HISTORY) {
            let message = format!("`data.{HISTORY}` cannot be set; append to the context's messages instead");
            return Err(field(Error::invalid_input(operation, message), format!("data.{HISTORY}")));
        }
        let form = json_of(operation, object)?;
        within(operation, "data", form.len(), self.data_bytes.min(MOST_DATA))?;
        no_nul(operation, "data", &form)
    }

    /// Data after a patch, as it is stored.
    pub(super) fn data(&self, operation: &'static str, data: &Map<String, Value>) -> Result<String> {
        let form = json_of(operation, data)?;
        within(operation, "data", form.len(), self.data_bytes.min(MOST_DATA))?;
        Ok(form)
    }
}

/// What tells two requests with the same key apart.
pub(super) fn create_fingerprint(scope: &Scope, new: &NewContext) -> Result<Vec<u8>> {
    let author = scope.principal().id.as_str();
    fingerprint(json!(["create", author, new.user_id, new.session_id, new.data]))
}

/// As [`create_fingerprint`]. The version that is expected is part of it.
pub(super) fn append_fingerprint(scope: &Scope, id: &ContextId, append: &Append) -> Result<Vec<u8>> {
    let author = scope.principal().id.as_str();
    fingerprint(json!(["append", author, id, append.expected_version, append.messages]))
}

/// Equal requests have equal digests, in whatever order they name the keys of their objects.
fn fingerprint(mut request: Value) -> Result<Vec<u8>> {
    request.sort_all_objects();
    Ok(digest(&SHA256, json_of("context.fingerprint", &request)?.as_bytes()).as_ref().to_vec())
}

pub(super) fn json_of(operation: &'static str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal(operation, "a value has no JSON form").with_source(error))
}

fn name(operation: &'static str, path: &'static str, text: &str) -> Result<()> {
    if (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("`{path}` must have 1 to {MAX_NAME} bytes and no control characters");
    Err(field(Error::invalid_input(operation, message), path))
}

fn within(operation: &'static str, path: &str, bytes: usize, limit: usize) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("`{path}` has {bytes} bytes as JSON; {limit} are allowed");
    let error = Error::new(ErrorKind::TooLarge, operation, message);
    Err(field(error.with_detail(Detail::Limit { bytes: limit as u64 }), path))
}

/// PostgreSQL's text search cannot hold the character, so no backend takes it.
fn no_nul(operation: &'static str, path: &str, form: &str) -> Result<()> {
    // A backslash that is itself escaped does not begin an escape.
    let nul = form
        .match_indices("\\u0000")
        .any(|(at, _)| form[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0);
    if nul {
        let error = Error::invalid_input(operation, format!("`{path}` holds the character NUL"));
        return Err(field(error, path));
    }
    Ok(())
}

fn field(error: Error, path: impl Into<String>) -> Error {
    error.with_detail(Detail::Field { path: path.into(), nearest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_and_its_spelling_is_not_taken_for_one() {
        let data = |value: Value| json!({ "a": value }).as_object().unwrap().clone();
        let check = |value| ContextLimits::default().object("t", &data(value));
        assert!(check(json!("a\0b")).unwrap_err().message().contains("NUL"));
        assert!(check(json!("\\\0")).is_err());
        assert!(check(json!("\\u0000")).is_ok());
        assert!(check(json!("ü 😀 \u{1}")).is_ok());
    }

    #[test]
    fn requests_that_differ_have_other_fingerprints_and_key_order_counts_not() {
        let a: Value = serde_json::from_str(r#"{"x":1,"y":2}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"y":2,"x":1}"#).unwrap();
        assert_eq!(fingerprint(a.clone()).unwrap(), fingerprint(b).unwrap());
        assert_ne!(fingerprint(a.clone()).unwrap(), fingerprint(json!({"x":1,"y":3})).unwrap());
    }
}

//! Error bodies of the two wires.

use bytes::Bytes;
use mcp_core::{Error, ErrorKind, error::Detail, scope::RequestId};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// OpenAI's: `{"error": {"message", "type", "code", "param"}}`.
#[must_use]
pub fn openai_error(error: &Error, _request_id: Option<&RequestId>) -> (&'static str, Bytes) {
    (JSON, Bytes::from(openai(error).to_string()))
}

/// The Open Inference Protocol's: `{"error": "…"}`.
#[must_use]
pub fn oip_error(error: &Error, _request_id: Option<&RequestId>) -> (&'static str, Bytes) {
    (JSON, Bytes::from(json!({ "error": error.message() }).to_string()))
}

/// The same within a stream.
pub(super) fn openai(error: &Error) -> Value {
    let kind = match error.kind() {
        ErrorKind::Unauthenticated => "authentication_error",
        ErrorKind::PermissionDenied => "permission_error",
        ErrorKind::RateLimited => "rate_limit_error",
        kind if kind.status().is_client_error() => "invalid_request_error",
        _ => "server_error",
    };
    let param = error.details().iter().find_map(|detail| match detail {
        Detail::Field { path, .. } => Some(path.as_str()),
        _ => None,
    });
    json!({ "error": { "message": error.message(), "type": kind, "code": error.kind().as_str(), "param": param } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_shape_of_their_wire_and_no_cause() {
        let error = Error::invalid_input("t", "`model` is empty")
            .with_detail(Detail::Field { path: "model".into(), nearest: None })
            .with_source("a secret");
        let body: Value = serde_json::from_slice(&openai_error(&error, None).1).unwrap();
        assert_eq!(
            body,
            json!({ "error": {
                "message": "`model` is empty", "type": "invalid_request_error", "code": "invalid_input", "param": "model",
            } })
        );
        assert_eq!(oip_error(&error, None).1, r#"{"error":"`model` is empty"}"#);
    }
}

//! Writing messages: the envelope around JSON that stays as it is.

use serde_json::value::RawValue;

use super::Fault;

/// A response with `result`, which must be JSON.
#[must_use]
pub fn result(id: &str, result: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(result.len() + id.len() + 40);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(br#","result":"#);
    out.extend_from_slice(result.as_bytes());
    out.push(b'}');
    out
}

/// A response with the error object `error`; `id` is `null` where the request's could not be read.
#[must_use]
pub fn error(id: Option<&str>, error: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.len() + 60);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.unwrap_or("null").as_bytes());
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(error.as_bytes());
    out.push(b'}');
    out
}

/// A response with `fault`.
#[must_use]
pub fn fault(id: Option<&str>, fault: &Fault) -> Vec<u8> {
    // A fault is made of strings, numbers and JSON values, so it always serialises.
    let text = serde_json::to_string(fault)
        .unwrap_or_else(|_| r#"{"code":-32603,"message":"the error could not be written"}"#.to_owned());
    error(id, &text)
}

/// A notification, or with `id` a request.
#[must_use]
pub fn message(id: Option<&str>, method: &str, params: Option<&RawValue>) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.map_or(0, |params| params.get().len()) + method.len() + 60);
    out.extend_from_slice(br#"{"jsonrpc":"2.0""#);
    if let Some(id) = id {
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id.as_bytes());
    }
    out.extend_from_slice(br#","method":"#);
    out.extend_from_slice(serde_json::Value::from(method).to_string().as_bytes());
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.get().as_bytes());
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Envelope, Shape, code};

    #[test]
    fn what_is_written_parses_back_to_the_same_bytes() {
        let params = RawValue::from_string(r#"{ "a":1e0 }"#.to_owned()).unwrap();
        let bytes = message(Some("7"), "a\"b", Some(&params));
        let (envelope, shape) = Envelope::parse(&bytes).unwrap();
        assert_eq!(shape, Shape::Request);
        assert_eq!(envelope.method.unwrap(), "a\"b");
        assert_eq!(envelope.params.unwrap().get(), params.get());

        let bytes = result("\"x\"", "{ \"b\" : 1.0 }");
        let (envelope, shape) = Envelope::parse(&bytes).unwrap();
        assert_eq!((shape, envelope.id.unwrap().get()), (Shape::Response, "\"x\""));
        assert_eq!(envelope.result.unwrap().get(), "{ \"b\" : 1.0 }");
    }

    #[test]
    fn an_unreadable_request_is_answered_with_a_null_id() {
        let bytes = fault(None, &Fault::new(code::PARSE_ERROR, "not JSON"));
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert!(value["id"].is_null());
        assert_eq!(value["error"]["code"], code::PARSE_ERROR);
    }
}

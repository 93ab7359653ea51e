//! One message, borrowed from the bytes it came in.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Fault, code};

/// The envelope of one JSON-RPC message; everything inside stays raw and borrowed.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    /// The id as it was written: a string or a number.
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    /// The method of a request or notification.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// The parameters of a request or notification.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// The result of a response.
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    /// The error of a response.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Has a method and an id.
    Request,
    /// Has a method and no id.
    Notification,
    /// Has an id and either a result or an error.
    Response,
}

impl<'a> Envelope<'a> {
    /// Parses one message.
    ///
    /// # Errors
    /// A [`Fault`]: -32700 for what is not JSON, -32600 for what is no JSON-RPC 2.0 message; batches are
    /// -32600, as the protocol has had none since 2025-06-18.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, Shape), Fault> {
        if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
            return Err(Fault::new(code::INVALID_REQUEST, "batches are not supported; send one message"));
        }
        let mut envelope: Self = serde_json::from_slice(bytes).map_err(|error| {
            if error.is_data() {
                Fault::new(code::INVALID_REQUEST, "not a JSON-RPC 2.0 message")
            } else {
                Fault::new(code::PARSE_ERROR, "not valid JSON")
            }
        })?;
        // An error about a message that could not be read has the id null; nothing else may.
        if envelope.method.is_none() && envelope.id.is_some_and(|id| id.get() == "null") {
            envelope.id = None;
        }
        let shape = envelope.shape()?;
        Ok((envelope, shape))
    }

    fn shape(&self) -> Result<Shape, Fault> {
        let refuse = |why: &'static str| Err(Fault::new(code::INVALID_REQUEST, why));
        if self.jsonrpc.as_deref() != Some("2.0") {
            return refuse("`jsonrpc` must be \"2.0\"");
        }
        if self.id.is_some_and(|id| !matches!(id.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'))) {
            return refuse("`id` must be a string or a number");
        }
        match (&self.method, self.id, self.result, self.error) {
            (Some(_), Some(_), None, None) => Ok(Shape::Request),
            (Some(_), None, None, None) => Ok(Shape::Notification),
            (None, Some(_), Some(_), None) | (None, Some(_), None, Some(_)) => Ok(Shape::Response),
            // An error about a message whose id could not be read carries none.
            (None, None, None, Some(_)) => Ok(Shape::Response),
            _ => refuse("a message has a method, or an id with either a result or an error"),
        }
    }
}

/// A member that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Result<Shape, i64> {
        Envelope::parse(text.as_bytes()).map(|(_, shape)| shape).map_err(|fault| fault.code)
    }

    #[test]
    fn tells_the_three_shapes() {
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#), Ok(Shape::Request));
        assert_eq!(
            shape(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            Ok(Shape::Notification)
        );
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#), Ok(Shape::Response));
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":"a","error":{"code":1}}"#), Ok(Shape::Response));
    }

    #[test]
    fn refuses_with_the_code_of_the_specification() {
        assert_eq!(shape("{"), Err(code::PARSE_ERROR));
        assert_eq!(shape(""), Err(code::PARSE_ERROR));
        assert_eq!(shape("[]"), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#" [{"jsonrpc":"2.0","id":1,"method":"x"}]"#), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#"{"id":1,"method":"x"}"#), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#), Ok(Shape::Response));
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":1}"#), Err(code::INVALID_REQUEST));
        assert_eq!(shape(r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#), Err(code::INVALID_REQUEST));
    }

    #[test]
    fn what_it_carries_stays_the_bytes_it_was() {
        let text = r#"{"jsonrpc":"2.0","id":1e2,"method":"m","params":{ "a" : 1.0, "b":[ ] },"extra":true}"#;
        let (envelope, _) = Envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(envelope.params.unwrap().get(), r#"{ "a" : 1.0, "b":[ ] }"#);
        assert_eq!(envelope.id.unwrap().get(), "1e2");
    }
}

//! What is asked.

use std::fmt;

use mcp_core::{Error, Result, error::Detail};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Characters of a model's name.
const MAX_MODEL: usize = 256;

/// A chat completion request: the caller's own JSON, of which only what routing needs has been read.
#[derive(Clone)]
pub struct ChatRequest {
    model: String,
    stream: bool,
    include_usage: bool,
    /// Every field but `model` and `stream`, in the caller's order.
    fields: Vec<(String, Box<RawValue>)>,
}

impl ChatRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field: a body that is no JSON object,
    /// a field that is there twice, no `model`, no `messages`, or one without a `role`.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let Fields(mut fields) = serde_json::from_slice(body).map_err(|error| {
            Error::invalid_input("chat.request", format!("the body is no chat request: {error}"))
        })?;
        let mut take = |name: &str| {
            fields.iter().position(|(field, _)| field == name).map(|index| fields.remove(index).1)
        };
        let (model, stream) = (take("model"), take("stream"));
        let model = model.ok_or_else(|| refuse("model", "`model` is missing: name the model to ask"))?;
        let model: String = read(&model, "model", "a string")?;
        if model.is_empty() || model.len() > MAX_MODEL {
            return Err(refuse("model", format!("`model` must have 1 to {MAX_MODEL} characters")));
        }
        let stream = stream.map_or(Ok(None), |stream| read(&stream, "stream", "true or false"))?;
        let mut request = Self { model, stream: stream.unwrap_or(false), include_usage: false, fields };
        request.check_messages()?;
        if let Some(options) = request.field("stream_options") {
            let options: Option<StreamOptions> = read(options, "stream_options", "an object")?;
            request.include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        }
        Ok(request)
    }

    fn check_messages(&self) -> Result<()> {
        let missing = || refuse("messages", "`messages` is missing: a chat needs at least one message");
        let messages: Vec<&RawValue> =
            read(self.field("messages").ok_or_else(missing)?, "messages", "an array of messages")?;
        if messages.is_empty() {
            return Err(missing());
        }
        for (index, message) in messages.iter().enumerate() {
            let path = format!("messages[{index}]");
            read::<Message>(message, &path, "an object with a `role`")?;
        }
        Ok(())
    }

    /// The model's name, as the caller knows it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the answer is to come in chunks.
    #[must_use]
    pub const fn streams(&self) -> bool {
        self.stream
    }

    /// Whether the caller wants the chunk that tells what a stream used.
    #[must_use]
    pub const fn wants_usage(&self) -> bool {
        self.include_usage
    }

    /// A field's JSON, other than `model` and `stream`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&RawValue> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    /// The body to send: for `model`, as a stream or whole; with `ask_usage` a stream ends with what it used.
    pub(crate) fn body(&self, model: &str, stream: bool, ask_usage: bool) -> Result<Vec<u8>> {
        let ask_usage = stream && ask_usage;
        let mut options = serde_json::Map::new();
        let mut out = Vec::with_capacity(256 + self.fields.iter().map(|(_, v)| v.get().len()).sum::<usize>());
        out.extend_from_slice(b"{\"model\":");
        let defect =
            |error| Error::internal("chat.request", "a request cannot be written").with_source(error);
        serde_json::to_writer(&mut out, model).map_err(defect)?;
        if stream {
            out.extend_from_slice(b",\"stream\":true");
        }
        for (name, value) in &self.fields {
            // Providers refuse the options of a stream where there is none.
            if name == "stream_options" && (ask_usage || !stream) {
                options = serde_json::from_str(value.get()).unwrap_or_default();
                continue;
            }
            out.push(b',');
            serde_json::to_writer(&mut out, name).map_err(defect)?;
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        if ask_usage {
            options.insert("include_usage".to_owned(), true.into());
            out.extend_from_slice(b",\"stream_options\":");
            serde_json::to_writer(&mut out, &options).map_err(defect)?;
        }
        out.push(b'}');
        Ok(out)
    }
}

impl fmt::Debug for ChatRequest {
    /// Without what the caller says: conversations do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest")
            .field("model", &self.model)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "role")]
    _role: String,
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue, path: &str, wanted: &str) -> Result<T> {
    serde_json::from_str(value.get()).map_err(|_| refuse(path, format!("`{path}` must be {wanted}")))
}

fn refuse(path: &str, why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    let field = Detail::Field { path: path.to_owned(), nearest: None };
    Error::invalid_input("chat.request", why).with_detail(field)
}

/// An object's fields in order, each there once: which of two `model`s counts, two readers may disagree on.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Fields, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.len() == MAX_FIELDS {
                        return Err(serde::de::Error::custom(format!("more than {MAX_FIELDS} fields")));
                    }
                    if fields.iter().any(|(known, _)| *known == name) {
                        let name: String = name.chars().take(64).collect();
                        return Err(serde::de::Error::custom(format!("the field `{name}` is there twice")));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Fields of a request; OpenAI knows some forty.
const MAX_FIELDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_here_knows_passes_through_as_it_was_written() {
        let request = ChatRequest::parse(
            br#"{"messages":[{"role":"user","content":"hi","x": 1.50}],"model":"fast","temperature":0.10,"new":{"a":[1e2]},"stream":true}"#,
        )
        .unwrap();
        assert_eq!((request.model(), request.streams()), ("fast", true));
        let whole = String::from_utf8(request.body("gpt", false, true).unwrap()).unwrap();
        assert_eq!(
            whole,
            r#"{"model":"gpt","messages":[{"role":"user","content":"hi","x": 1.50}],"temperature":0.10,"new":{"a":[1e2]}}"#
        );
        let stream = String::from_utf8(request.body("gpt", true, true).unwrap()).unwrap();
        assert!(stream.starts_with(r#"{"model":"gpt","stream":true,"#), "{stream}");
        assert!(stream.ends_with(r#","stream_options":{"include_usage":true}}"#), "{stream}");
        assert!(!String::from_utf8(request.body("gpt", true, false).unwrap()).unwrap().contains("usage"));
    }

    #[test]
    fn the_callers_stream_options_are_kept_and_end_with_the_stream() {
        let request = ChatRequest::parse(
            br#"{"model":"m","messages":[{"role":"user"}],"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#,
        )
        .unwrap();
        assert!(request.wants_usage());
        let stream: serde_json::Value =
            serde_json::from_slice(&request.body("m", true, true).unwrap()).unwrap();
        assert_eq!(
            stream["stream_options"],
            serde_json::json!({ "include_obfuscation": false, "include_usage": true })
        );
        let whole: serde_json::Value =
            serde_json::from_slice(&request.body("m", false, true).unwrap()).unwrap();
        assert_eq!(whole.get("stream_options"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, wanted) in [
            ("[]", "a JSON object"),
            ("{", "no chat request"),
            (r#"{"messages":[]}"#, "`model` is missing"),
            (r#"{"model":7}"#, "`model` must be a string"),
            (r#"{"model":""}"#, "1 to 256 characters"),
            (r#"{"model":"m"}"#, "`messages` is missing"),
            (r#"{"model":"m","messages":[]}"#, "at least one message"),
            (r#"{"model":"m","messages":"hi"}"#, "`messages` must be an array"),
            (r#"{"model":"m","messages":[{"role":"user"},{"content":"x"}]}"#, "`messages[1]` must be"),
            (
                r#"{"model":"m","messages":[{"role":"user"}],"stream":"yes"}"#,
                "`stream` must be true or false",
            ),
            (r#"{"model":"m","model":"n"}"#, "`model` is there twice"),
        ] {
            let error = ChatRequest::parse(body.as_bytes()).unwrap_err();
            assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
        }
    }

    #[test]
    fn a_log_line_holds_no_conversation() {
        let request =
            ChatRequest::parse(br#"{"model":"m","messages":[{"role":"user","content":"secret"}]}"#).unwrap();
        assert!(!format!("{request:?}").contains("secret"));
    }
}

//! Changing a member of a JSON object without reading the rest: the text around it stays the bytes it was.

use mcp_core::{Error, Result};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::ProtocolVersion;

/// Keys that 2026-07-28 requires in `_meta` of every request.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// What a request's parameters become on their way to a server.
pub(crate) struct Outgoing {
    /// The parameters as sent; `None` where there are none.
    pub(crate) params: Option<String>,
    /// The caller's progress token, which the connection's own has replaced.
    pub(crate) token: Option<Box<RawValue>>,
}

/// Rewrites the progress token to `id` and, for a stateless `version`, adds what `_meta` must carry.
///
/// # Errors
/// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) where `params` or `_meta` is no object, or `_meta`
/// stands there twice.
pub(crate) fn outgoing(
    params: Option<&RawValue>,
    id: u64,
    version: Option<ProtocolVersion>,
) -> Result<Outgoing> {
    let stateless = version.is_some_and(ProtocolVersion::is_stateless);
    let text = params.map_or("{}", RawValue::get);
    if !stateless && !may_hold(text, "\"_meta\"") {
        return Ok(Outgoing { params: params.map(|raw| raw.get().to_owned()), token: None });
    }
    let outer: Outer<'_> = object(text, "params")?;
    let meta_text = outer.meta.map_or("{}", RawValue::get);
    let meta: Meta<'_> = object(meta_text, "params._meta")?;
    let token = meta.token.filter(|raw| raw.get() != "null");

    let own_token = id.to_string();
    let mut new_meta = match token {
        Some(raw) => replace(meta_text, raw, &own_token),
        None => meta_text.to_owned(),
    };
    if let Some(version) = version.filter(|_| stateless) {
        if meta.capabilities.is_none() {
            new_meta = insert(&new_meta, META_CAPABILITIES, "{}");
        }
        if meta.version.is_none() {
            new_meta = insert(&new_meta, META_VERSION, &format!("\"{version}\""));
        }
    }
    let params = match outer.meta {
        Some(raw) => replace(text, raw, &new_meta),
        None if stateless => insert(text, "_meta", &new_meta),
        None => text.to_owned(),
    };
    Ok(Outgoing { params: Some(params), token: token.map(ToOwned::to_owned) })
}

/// The progress token of a `notifications/progress`, where it is one of this connection's.
pub(crate) fn progress_token(params: Option<&RawValue>) -> Option<u64> {
    let progress: Progress<'_> = object(params?.get(), "params").ok()?;
    progress.token?.get().parse().ok()
}

/// The parameters of a `notifications/progress` with the caller's own `token` in place of the connection's.
pub(crate) fn with_progress_token(params: &RawValue, token: &RawValue) -> Option<Box<RawValue>> {
    let progress: Progress<'_> = object(params.get(), "params").ok()?;
    RawValue::from_string(replace(params.get(), progress.token?, token.get())).ok()
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "_meta", default, deserialize_with = "present")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken", default, deserialize_with = "present")]
    token: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "io.modelcontextprotocol/protocolVersion",
        default,
        deserialize_with = "present"
    )]
    version: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "io.modelcontextprotocol/clientCapabilities",
        default,
        deserialize_with = "present"
    )]
    capabilities: Option<&'a RawValue>,
}

/// The request whose stream a notification says it is of, where that is one of the connection's own ids.
pub(crate) fn subscription_id(params: Option<&RawValue>) -> Option<u64> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
        id: &'a RawValue,
    }
    let params: Params<'_> = serde_json::from_str(params?.get()).ok()?;
    let meta: Meta<'_> = serde_json::from_str(params.meta.get()).ok()?;
    meta.id.get().parse().ok()
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow, rename = "progressToken", default, deserialize_with = "present")]
    token: Option<&'a RawValue>,
}

/// Tells an absent member from `null`, which serde's `Option` does not: a `null` must be replaced where it
/// stands, or the key would be there twice.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Whether `text` can hold the key: spelled out, or with escapes, which any JSON string may use.
fn may_hold(text: &str, key: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), key.as_bytes()).is_some()
        || memchr::memmem::find(text.as_bytes(), b"\\u").is_some()
}

fn object<'a, T: Deserialize<'a>>(text: &'a str, what: &'static str) -> Result<T> {
    let refused = || {
        Error::invalid_input("upstream.params", format!("`{what}` must be an object without repeated keys"))
    };
    if !text.starts_with('{') {
        return Err(refused());
    }
    serde_json::from_str(text).map_err(|error| refused().with_source(error))
}

/// `text` with `part`, which must lie within it, replaced.
fn replace(text: &str, part: &RawValue, by: &str) -> String {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    let end = start + part.get().len();
    let mut out = String::with_capacity(text.len() - part.get().len() + by.len());
    out.push_str(&text[..start]);
    out.push_str(by);
    out.push_str(&text[end..]);
    out
}

/// The object `text` with one more member, in front.
fn insert(text: &str, key: &str, value: &str) -> String {
    let rest = text[1..].trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{\"{key}\":{value}{comma}{rest}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn sent(text: &str, version: ProtocolVersion) -> (String, Option<String>) {
        let out = outgoing(Some(&raw(text)), 7, Some(version)).unwrap();
        (out.params.unwrap(), out.token.map(|token| token.get().to_owned()))
    }

    #[test]
    fn only_the_token_changes() {
        let (params, token) = sent(
            r#"{ "a":1.0, "_meta":{"x": [ ],"progressToken" : "t"}, "b":{"progressToken":2}}"#,
            ProtocolVersion::V2025_11_25,
        );
        assert_eq!(params, r#"{ "a":1.0, "_meta":{"x": [ ],"progressToken" : 7}, "b":{"progressToken":2}}"#);
        assert_eq!(token.as_deref(), Some("\"t\""));
    }

    #[test]
    fn parameters_without_meta_are_the_bytes_they_were() {
        let (params, token) = sent(r#"{"arguments":{ "n" : 1e2 }}"#, ProtocolVersion::V2025_06_18);
        assert_eq!((params.as_str(), token), (r#"{"arguments":{ "n" : 1e2 }}"#, None));
        assert!(outgoing(None, 7, Some(ProtocolVersion::V2025_11_25)).unwrap().params.is_none());
    }

    #[test]
    fn an_escaped_key_is_the_same_key() {
        let (params, _) = sent(r#"{"\u005fmeta":{"progressToken":1}}"#, ProtocolVersion::V2025_11_25);
        assert_eq!(params, r#"{"\u005fmeta":{"progressToken":7}}"#);
    }

    #[test]
    fn a_stateless_version_gets_what_it_requires_and_keeps_what_is_there() {
        let (params, _) = sent(r#"{"name":"x"}"#, ProtocolVersion::V2026_07_28);
        let value: Value = serde_json::from_str(&params).unwrap();
        assert_eq!(value, json!({"name": "x", "_meta": {META_VERSION: "2026-07-28", META_CAPABILITIES: {}}}));
        let (params, _) = sent(
            &format!(r#"{{"_meta":{{"{META_CAPABILITIES}":{{"sampling":{{}}}}}}}}"#),
            ProtocolVersion::V2026_07_28,
        );
        let value: Value = serde_json::from_str(&params).unwrap();
        assert_eq!(value["_meta"][META_CAPABILITIES], json!({"sampling": {}}));
        assert!(outgoing(None, 7, Some(ProtocolVersion::V2026_07_28)).unwrap().params.is_some());
    }

    #[test]
    fn what_is_no_object_or_doubled_is_refused() {
        for text in
            [r#"[{"_meta":{}}]"#, r#"{"_meta":[]}"#, r#"{"_meta":null}"#, r#"{"_meta":{},"_meta":{}}"#]
        {
            assert!(outgoing(Some(&raw(text)), 7, Some(ProtocolVersion::V2025_11_25)).is_err(), "{text}");
        }
    }

    #[test]
    fn progress_gets_the_callers_token_back() {
        let params = raw(r#"{"progress":1,"progressToken":7,"message":"m"}"#);
        assert_eq!(progress_token(Some(&params)), Some(7));
        let back = with_progress_token(&params, &raw("\"mine\"")).unwrap();
        assert_eq!(back.get(), r#"{"progress":1,"progressToken":"mine","message":"m"}"#);
    }

    proptest! {
        #[test]
        fn every_other_member_survives(key in "[a-z]{1,6}", text in ".{0,20}", token in any::<u32>()) {
            let before = json!({ &key: text, "_meta": { "progressToken": token, &key: text } });
            let (params, _) = sent(&before.to_string(), ProtocolVersion::V2026_07_28);
            let after: Value = serde_json::from_str(&params).unwrap();
            prop_assert_eq!(&after[&key], &before[&key]);
            prop_assert_eq!(&after["_meta"][&key], &before["_meta"][&key]);
            prop_assert_eq!(&after["_meta"]["progressToken"], &json!(7));
        }
    }
}

//! From clients of one era to servers of the other.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{level::Level, session::ClientAbilities, splice};

/// Members of `_meta` in which a stateless request says what a session would know. A server with sessions
/// takes them for a contradiction to its own.
const OF_STATELESS_REQUESTS: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
];

/// A stateless client's parameters for a server with sessions; `None` where they are the same.
pub(super) fn for_session(params: &RawValue) -> Option<Box<RawValue>> {
    let meta = serde_json::from_str::<Params<'_>>(params.get()).ok()?.meta?;
    let members: Members<'_> = serde_json::from_str(meta.get()).ok()?;
    let is_kept = |name: &str| !OF_STATELESS_REQUESTS.contains(&name);
    if members.0.iter().all(|(name, _)| is_kept(name)) {
        return None;
    }
    let kept: Vec<String> = members
        .0
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| format!("{}:{value}", splice::quoted(name)))
        .collect();
    let kept = format!("{{{}}}", kept.join(","));
    Some(splice::raw(splice::replace(params.get(), splice::span(params.get(), meta.get()), &kept)))
}

/// A session's parameters for a stateless server, which learns from each request what it may ask the client
/// and what log messages it may send; `None` where they are the same.
pub(super) fn for_stateless(
    params: Option<&RawValue>,
    abilities: ClientAbilities,
    level: Level,
) -> Option<Box<RawValue>> {
    let plain = params.and_then(for_session);
    let text = plain.as_deref().or(params).map_or("{}", RawValue::get);
    let members = format!(
        "\"io.modelcontextprotocol/clientCapabilities\":{},\"io.modelcontextprotocol/logLevel\":\"{}\"",
        abilities.declared(),
        level.as_str()
    );
    let meta = serde_json::from_str::<Params<'_>>(text).ok()?.meta;
    let text = match meta {
        Some(meta) => {
            let declared = splice::prepend(meta.get(), &members);
            splice::replace(text, splice::span(text, meta.get()), &declared)
        }
        None => splice::prepend(text, &format!("\"_meta\":{{{members}}}")),
    };
    Some(splice::raw(text))
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// An object's members in their order, their values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridged(text: &str) -> Option<String> {
        let params = RawValue::from_string(text.to_owned()).unwrap();
        for_session(&params).map(|params| params.get().to_owned())
    }

    #[test]
    fn only_what_a_session_knows_is_taken_out() {
        let text = concat!(
            r#"{ "name":"a", "_meta":{"k" : 1.0,"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""progressToken":[ 7 ],"io.modelcontextprotocol/clientCapabilities":{}}, "x":1e0}"#,
        );
        let expected = r#"{ "name":"a", "_meta":{"k":1.0,"progressToken":[ 7 ]}, "x":1e0}"#;
        assert_eq!(bridged(text).as_deref(), Some(expected));
        assert_eq!(bridged(expected), None);
        assert_eq!(bridged(r#"{"name":"a"}"#), None);
        assert_eq!(bridged("[]"), None);
    }

    #[test]
    fn a_stateless_server_is_told_what_the_session_knows() {
        let abilities = ClientAbilities::parse(&serde_json::json!({"sampling": {"tools": {}}}));
        let bridged = |text: &str| {
            let params = RawValue::from_string(text.to_owned()).unwrap();
            for_stateless(Some(&params), abilities, Level::Warning).map(|params| params.get().to_owned())
        };
        let level = concat!(
            r#""io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"#,
            r#""io.modelcontextprotocol/logLevel":"warning""#
        );
        assert_eq!(bridged(r#"{"name":"a"}"#), Some(format!(r#"{{"_meta":{{{level}}},"name":"a"}}"#)));
        assert_eq!(
            bridged(r#"{ "_meta":{"k" : 1.0}, "x":1e0}"#),
            Some(format!(r#"{{ "_meta":{{{level},"k" : 1.0}}, "x":1e0}}"#))
        );
        // The session knows; what a request says of it must not stand beside.
        let contradiction = r#"{"_meta":{"io.modelcontextprotocol/logLevel":"debug"}}"#;
        assert_eq!(bridged(contradiction), Some(format!(r#"{{"_meta":{{{level}}}}}"#)));
        let made = for_stateless(None, abilities, Level::Warning).map(|params| params.get().to_owned());
        assert_eq!(made, Some(format!(r#"{{"_meta":{{{level}}}}}"#)));
        assert_eq!(bridged(r#"{"_meta":7}"#).as_deref(), Some(r#"{"_meta":7}"#));
    }
}

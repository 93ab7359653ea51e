//! JWTs taken apart, before anything in them is believed.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mcp_core::Result;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

use crate::auth::refused;

/// Most members of a header or of claims.
const MAX_MEMBERS: usize = 128;
/// Longest `kid`.
pub(super) const MAX_KID_LEN: usize = 256;

/// The members of a JSON object, none of them twice: two readers of a token must not read two things.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Members(pub(super) BTreeMap<String, Value>);

impl Members {
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|_| refused("a header or claims that are no plain JSON object"))
    }

    /// A member that is a string, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refused("a header or claim of a wrong type")),
        }
    }

    /// A member that is a whole number of seconds, if it is there.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| refused("a time that is no integer")),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;
        impl<'de> Visitor<'de> for Unique {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.len() >= MAX_MEMBERS || members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member twice, or too many"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Unique)
    }
}

/// A JWT in its parts; nothing is verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    /// What is signed.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) header: Members,
    pub(super) claims: Members,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self> {
        let not_a_jwt = || refused("not a JWT");
        let (message, signature) = token.rsplit_once('.').ok_or_else(not_a_jwt)?;
        let (header, claims) = message.split_once('.').ok_or_else(not_a_jwt)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| refused("not a JWT"));
        let (header, claims) = (decode(header)?, decode(claims)?);
        Ok(Self { message, signature, header: Members::parse(&header)?, claims: Members::parse(&claims)? })
    }

    /// The `kid` of the header. It is compared, never looked up by.
    pub(super) fn kid(&self) -> Result<&str> {
        let kid = self.header.text("kid")?.ok_or_else(|| refused("no key id"))?;
        let ok = (1..=MAX_KID_LEN).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_graphic());
        if ok { Ok(kid) } else { Err(refused("a malformed key id")) }
    }

    /// Refuses what changes the meaning of a token in a way that is not understood here (RFC 7515 §4.1.11). Keys that
    /// the token brings or points to (`jwk`, `jku`, `x5u`, `x5c`) change nothing: nobody looks at them.
    pub(super) fn require_plain(&self) -> Result<()> {
        let changes_meaning = ["crit", "b64", "zip", "enc"];
        match changes_meaning.iter().any(|name| self.header.0.contains_key(*name)) {
            true => Err(refused("a header that is not understood")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(header), part(claims))
    }

    #[test]
    fn a_member_given_twice_is_refused() {
        assert!(Members::parse(br#"{"a":1,"b":2}"#).is_ok());
        for bad in [&br#"{"a":1,"a":1}"#[..], br#"[]"#, b"1", b"null", b"", br#"{"a":1} x"#] {
            assert!(Members::parse(bad).is_err(), "{bad:?}");
        }
        let many: BTreeMap<_, _> = (0..=MAX_MEMBERS).map(|n| (n.to_string(), n)).collect();
        assert!(Members::parse(&serde_json::to_vec(&many).unwrap()).is_err());
    }

    #[test]
    fn types_are_strict() {
        let members = Members::parse(br#"{"exp":"1","nbf":1.0,"iat":1,"big":18446744073709551615}"#).unwrap();
        assert_eq!(members.seconds("iat").unwrap(), Some(1));
        assert_eq!(members.seconds("none").unwrap(), None);
        for name in ["exp", "nbf", "big"] {
            assert!(members.seconds(name).is_err(), "{name}");
        }
        assert!(members.text("iat").is_err());
    }

    #[test]
    fn key_ids_are_printable_and_short() {
        for (kid, good) in [
            (json!("a/b+c=="), true),
            (json!("x".repeat(MAX_KID_LEN)), true),
            (json!("x".repeat(MAX_KID_LEN + 1)), false),
            (json!(""), false),
            (json!("a b"), false),
            (json!("a\0"), false),
            (json!("é"), false),
            (json!(1), false),
            (json!(["a"]), false),
        ] {
            let token = token(&json!({ "kid": kid }), &json!({}));
            assert_eq!(Unverified::parse(&token).unwrap().kid().is_ok(), good, "{kid}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[A-Za-z0-9_.=-]{0,200}") {
            let _ = Unverified::parse(&text);
        }
    }
}

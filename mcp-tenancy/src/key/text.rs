//! The text of a key: `{prefix}{id}_{secret}`.

use std::fmt;

use aws_lc_rs::{digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mcp_core::{Error, Result, key::Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// What every API key of a tenant begins with, so that scanners for leaked secrets find it.
pub(crate) const PREFIX: &str = "mcpk_";
/// What every key of an operator begins with.
pub(crate) const OPERATOR_PREFIX: &str = "mcpo_";
const ID_LEN: usize = 24;
const SECRET_LEN: usize = 32;

/// The public part of a key: 24 hex digits. It names the key in lists and audit records.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl KeyId {
    /// Parses an id.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it is not 24 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = text.len() == ID_LEN && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match ok {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::invalid_input("key.id", "a key id has 24 hex digits in lower case")),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

/// SHA-256 of a key's secret: all that is stored of it. The secret has 256 random bits, so it needs no salt
/// and no slow hash.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// A stored digest.
    ///
    /// # Errors
    /// [`Corrupted`](mcp_core::ErrorKind::Corrupted) if it has not 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| {
            Error::new(mcp_core::ErrorKind::Corrupted, "key.digest", "a stored key digest has a wrong length")
        })
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What an unknown key is compared with, so that it takes the way of a known one.
    pub(crate) const fn of_nothing() -> Self {
        Self([0; 32])
    }

    pub(crate) fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// A key taken apart: which one it claims to be, and the digest of what it shows for it.
pub(crate) struct Presented {
    pub id: KeyId,
    pub digest: KeyDigest,
}

impl Presented {
    /// Takes a key's text apart; `None` if it has another form.
    pub(crate) fn parse(prefix: &str, text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(prefix)?.split_once('_')?;
        let id = KeyId::parse(id).ok()?;
        let mut secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        let digest = (secret.len() == SECRET_LEN).then(|| KeyDigest::of(&secret));
        secret.zeroize();
        Some(Self { id, digest: digest? })
    }

    /// Compares in constant time.
    pub(crate) fn shows(&self, digest: &KeyDigest) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.digest.0[..], &digest.0[..]).into()
    }
}

/// Makes a key: id, digest to store, text to show once.
pub(crate) fn generate(prefix: &str) -> Result<(KeyId, KeyDigest, Secret<String>)> {
    let id = generate_id()?;
    let (digest, text) = generate_secret(prefix, &id)?;
    Ok((id, digest, text))
}

/// Makes an id.
pub(crate) fn generate_id() -> Result<KeyId> {
    use std::fmt::Write as _;
    let mut bytes = [0; ID_LEN / 2];
    rand::fill(&mut bytes).map_err(|_| Error::internal("key.create", "the machine has no randomness"))?;
    let mut id = String::with_capacity(ID_LEN);
    bytes.iter().for_each(|byte| {
        let _ = write!(id, "{byte:02x}");
    });
    Ok(KeyId(id))
}

/// Makes a secret for a key: digest to store, text to show once.
pub(crate) fn generate_secret(prefix: &str, id: &KeyId) -> Result<(KeyDigest, Secret<String>)> {
    let mut secret = [0; SECRET_LEN];
    rand::fill(&mut secret).map_err(|_| Error::internal("key.create", "the machine has no randomness"))?;
    let digest = KeyDigest::of(&secret);
    let text = format!("{prefix}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    secret.zeroize();
    Ok((digest, Secret::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_shows_its_digest() {
        let (id, digest, text) = generate(PREFIX).unwrap();
        let presented = Presented::parse(PREFIX, text.expose()).unwrap();
        assert_eq!(presented.id, id);
        assert!(presented.shows(&digest));
        let (_, other, _) = generate(PREFIX).unwrap();
        assert!(!presented.shows(&other) && !presented.shows(&KeyDigest::of_nothing()));
        assert!(text.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        assert!(!format!("{text:?}{digest:?}").contains(&text.expose()[PREFIX.len()..]));
    }

    #[test]
    fn every_prefix_and_every_other_form_is_refused() {
        let (_, _, text) = generate(PREFIX).unwrap();
        let text = text.expose();
        for end in 0..text.len() {
            assert!(Presented::parse(PREFIX, &text[..end]).is_none(), "length {end}");
        }
        for altered in
            [format!("{text}A"), format!("{text}="), text.to_uppercase(), text.replace("mcpk_", "mcpk-")]
        {
            assert!(Presented::parse(PREFIX, &altered).is_none(), "{altered}");
        }
    }

    #[test]
    fn a_key_of_one_kind_is_none_of_the_other() {
        let (_, _, tenant) = generate(PREFIX).unwrap();
        let (_, _, operator) = generate(OPERATOR_PREFIX).unwrap();
        assert!(Presented::parse(OPERATOR_PREFIX, operator.expose()).is_some());
        assert!(Presented::parse(OPERATOR_PREFIX, tenant.expose()).is_none());
        assert!(Presented::parse(PREFIX, operator.expose()).is_none());
    }
}

//! The text of a refresh token, and how one leads to the next.

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mcp_core::{Error, Result, key::Secret};
use zeroize::Zeroize as _;

use super::{FamilyId, StoredFamily};
use crate::key::KeyDigest;

/// What every refresh token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "mcpr_";
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// A refresh token taken apart.
pub(super) struct Presented {
    pub(super) family: FamilyId,
    pub(super) digest: KeyDigest,
    secret: Secret<[u8; SECRET_LEN]>,
    tag: [u8; TAG_LEN],
}

impl Presented {
    /// Takes a token apart; `None` if it has another form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (family, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let family = FamilyId::parse(family).ok()?;
        let mut bytes = URL_SAFE_NO_PAD.decode(rest).ok()?;
        let parts = bytes.split_at_checked(SECRET_LEN).and_then(|(secret, tag)| {
            Some((Secret::new(<[u8; SECRET_LEN]>::try_from(secret).ok()?), tag.try_into().ok()?))
        });
        bytes.zeroize();
        let (secret, tag) = parts?;
        Some(Self { digest: KeyDigest::of(secret.expose()), family, secret, tag })
    }

    /// Whether it is or was a token of this family: only then does a token that cannot be redeemed say that
    /// somebody stole it. Whoever knows no more than a family's id cannot end it.
    pub(super) fn is_of(&self, family: &StoredFamily) -> bool {
        let tag = tag(&family.tag_key, self.secret.expose());
        subtle::ConstantTimeEq::ct_eq(&tag[..], &self.tag[..]).into()
    }

    /// Compares in constant time.
    pub(super) fn shows(&self, digest: &KeyDigest) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.digest.as_bytes()[..], &digest.as_bytes()[..]).into()
    }

    /// The token that replaces this one: the same every time for one nonce.
    pub(super) fn successor(&self, family: &StoredFamily, nonce: &[u8; 32]) -> Issued {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose());
        let mut secret = [0; SECRET_LEN];
        secret.copy_from_slice(hmac::sign(&key, nonce).as_ref());
        Issued::new(&family.id, &family.tag_key, secret)
    }
}

/// A refresh token to hand out.
pub(super) struct Issued {
    pub(super) digest: KeyDigest,
    pub(super) text: Secret<String>,
}

impl Issued {
    /// The first token of a family.
    pub(super) fn first(family: &FamilyId, tag_key: &[u8; 32]) -> Result<Self> {
        Ok(Self::new(family, tag_key, random()?))
    }

    fn new(family: &FamilyId, tag_key: &[u8; 32], mut secret: [u8; SECRET_LEN]) -> Self {
        let digest = KeyDigest::of(&secret);
        let mut bytes = [&secret[..], &tag(tag_key, &secret)[..]].concat();
        let text = Secret::new(format!("{PREFIX}{family}_{}", URL_SAFE_NO_PAD.encode(&bytes)));
        secret.zeroize();
        bytes.zeroize();
        Self { digest, text }
    }
}

fn tag(key: &[u8; 32], secret: &[u8; SECRET_LEN]) -> [u8; TAG_LEN] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&hmac::sign(&key, secret).as_ref()[..TAG_LEN]);
    tag
}

/// 32 random bytes.
pub(super) fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Error::internal("refresh.issue", "the machine has no randomness"))?;
    Ok(bytes)
}

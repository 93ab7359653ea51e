//! The Ed25519 key that signs checkpoints, and its public half.

use std::{fmt, path::Path, sync::Arc};

use aws_lc_rs::{
    rand,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroize as _;

use super::entry::sha256;
use crate::{
    error::{Error, Result},
    key::{
        Secret,
        file::{self, KeyFile},
    },
};

const SEED_LEN: usize = 32;

const FILE: KeyFile = KeyFile { operation: "audit.key", what: "audit signing key" };

/// Signs checkpoints. Cheap to clone; shows nothing in `Debug`.
///
/// Replicas that share a database share the key, so that any of them can seal and one public key verifies.
#[derive(Clone)]
pub struct AuditKey(Arc<Ed25519KeyPair>);

impl AuditKey {
    /// A fresh key that is kept nowhere.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if the machine has no randomness.
    pub fn ephemeral() -> Result<Self> {
        Self::from_base64(&seed()?)
    }

    /// The key in the file at `path` (base64 of a 32-byte seed), which is created with mode 0600 if there is
    /// none. Several processes may start at once and agree on one key. Blocks on the disk for moments: call
    /// it at start-up.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the file holds something else or others may read
    /// it, [`Unavailable`](crate::ErrorKind::Unavailable) if it can be neither read nor created.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        let text = file::load_or_create(path, &FILE, seed)?;
        Self::from_base64(&text).map_err(|error| error.with_context("file", path.display()))
    }

    /// The key written as standard base64 of its 32-byte seed, as it comes from a vault.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not that; the text is not repeated.
    pub fn from_base64(text: &Secret<String>) -> Result<Self> {
        let malformed = || {
            Error::invalid_input(
                "audit.key",
                "an audit signing key is the standard base64 of exactly 32 bytes",
            )
        };
        let mut bytes = STANDARD.decode(text.expose().trim()).map_err(|_| malformed())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes);
        bytes.zeroize();
        pair.map(|pair| Self(Arc::new(pair))).map_err(|_| malformed())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> AuditPublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        AuditPublicKey(bytes)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKey({})", self.public().id())
    }
}

fn seed() -> Result<Secret<String>> {
    let mut bytes = [0; SEED_LEN];
    rand::fill(&mut bytes).map_err(|_| Error::internal("audit.key", "the machine has no randomness"))?;
    let text = STANDARD.encode(bytes);
    bytes.zeroize();
    Ok(Secret::new(text))
}

/// What checkpoints are verified with. Keep a copy where whoever can write the database cannot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditPublicKey([u8; 32]);

impl AuditPublicKey {
    /// The key written as standard base64 of 32 bytes: what `Display` shows.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not that.
    pub fn from_base64(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| {
            Error::invalid_input(
                "audit.key",
                "an audit public key is the standard base64 of exactly 32 bytes",
            )
        })
    }

    /// A short name for the key: the beginning of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        sha256(&self.to_string())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditPublicKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_gives_the_same_key_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        let made = AuditKey::load_or_create(&path).unwrap();
        let read = AuditKey::load_or_create(&path).unwrap();
        assert_eq!(made.public(), read.public());
        assert!(made.public().verifies(b"x", &read.sign(b"x")));
        assert!(!made.public().verifies(b"y", &read.sign(b"x")));
        assert!(!AuditKey::ephemeral().unwrap().public().verifies(b"x", &read.sign(b"x")));
        assert_eq!(AuditPublicKey::from_base64(&made.public().to_string()).unwrap(), made.public());
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for text in ["", "hunter2", "aGVsbG8="] {
            assert!(AuditKey::from_base64(&Secret::new(text.to_owned())).is_err(), "{text:?}");
            assert!(AuditPublicKey::from_base64(text).is_err(), "{text:?}");
        }
    }
}

//! The platform's master key: what wraps the data keys of tenants, and seals the few secrets that belong to no
//! tenant.
//!
//! A sealed value is bound to its place by *associated data* (tenant, key id): moved to another row or tenant
//! it does not open.

use std::{path::Path, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{Context, SHA256},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroize as _;

use super::{
    Secret,
    file::{self, KeyFile},
};
use crate::error::{Error, Result};

const KEY_LEN: usize = 32;

const MASTER: KeyFile = KeyFile { operation: "key.master", what: "master key" };

/// Names the layout of a sealed value, so that the other layout, of what a data key seals, can be told from
/// this one.
const VERSION: u8 = 1;

/// A 256-bit key that seals with AES-256-GCM. Cheap to clone; shows nothing but its id in `Debug`.
#[derive(Clone)]
pub struct MasterKey(Arc<Inner>);

struct Inner {
    key: RandomizedNonceKey,
    id: String,
}

impl MasterKey {
    /// A fresh random key that is kept nowhere: what it seals is lost with the process.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if the machine has no randomness.
    pub fn ephemeral() -> Result<Self> {
        let mut bytes = random()?;
        let key = Self::from_bytes(&bytes);
        bytes.zeroize();
        key
    }

    /// The key written as standard base64 of 32 bytes, as it comes from an environment variable or a vault.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not that; the text is not repeated.
    pub fn from_base64(text: &Secret<String>) -> Result<Self> {
        let mut bytes = STANDARD.decode(text.expose().trim()).map_err(|_| malformed())?;
        let key = Self::from_bytes(&bytes);
        bytes.zeroize();
        key
    }

    /// The key in the file at `path` (base64 of 32 bytes), which is created with mode 0600 if there is none.
    ///
    /// Several processes may start at once: the key is written to a file of its own and then linked to its
    /// name, which only one of them can do; all read the one that is there afterwards. Blocks on the disk
    /// for moments: call it at start-up.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the file holds something else or others may read
    /// it, [`Unavailable`](crate::ErrorKind::Unavailable) if it can be neither read nor created.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        let make = || {
            let mut bytes = random()?;
            let text = STANDARD.encode(bytes);
            bytes.zeroize();
            Ok(Secret::new(text))
        };
        let text = file::load_or_create(path, &MASTER, make)?;
        Self::from_base64(&text).map_err(|error| error.with_context("file", path.display()))
    }

    /// The key in the file at `path`, which must be there: an earlier master key, kept to open what it sealed.
    ///
    /// # Errors
    /// As [`load_or_create`](Self::load_or_create); [`NotFound`](crate::ErrorKind::NotFound) if there is no
    /// such file.
    pub fn load(path: &Path) -> Result<Self> {
        let missing = || {
            let message = format!("there is no master key file {}", path.display());
            Err(Error::not_found("key.master", message))
        };
        let text = file::load_or_create(path, &MASTER, missing)?;
        Self::from_base64(&text).map_err(|error| error.with_context("file", path.display()))
    }

    /// Names the key without telling anything about it: eight hexadecimal digits of a digest. For logs and for
    /// finding out which of several keys wrapped something; equal keys have equal ids.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != KEY_LEN {
            return Err(malformed());
        }
        let mut context = Context::new(&SHA256);
        context.update(b"mcp-master-key-id");
        context.update(bytes);
        let id = context.finish().as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| malformed())?;
        Ok(Self(Arc::new(Inner { key, id })))
    }

    /// Seals `plaintext` so that it opens only with this key and the same `bound_to`.
    ///
    /// The parts of `bound_to` are kept apart: `["ab", "c"]` and `["a", "bc"]` differ.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if the machine has no randomness.
    pub fn seal(&self, plaintext: &[u8], bound_to: &[&str]) -> Result<Vec<u8>> {
        let mut sealed = plaintext.to_vec();
        let nonce = self
            .0
            .key
            .seal_in_place_append_tag(Aad::from(associated(bound_to)), &mut sealed)
            .map_err(|_| Error::internal("key.seal", "sealing failed"))?;
        let mut out = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut sealed);
        Ok(out)
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if it was altered, moved to another place, or sealed with
    /// another key; the three cannot be told apart.
    pub fn open(&self, sealed: &[u8], bound_to: &[&str]) -> Result<Secret<Vec<u8>>> {
        let refused = || {
            Error::new(
                crate::ErrorKind::Corrupted,
                "key.open",
                "a sealed secret does not open; is this the master key it was sealed with?",
            )
        };
        let (version, rest) = sealed.split_first().ok_or_else(refused)?;
        if *version != VERSION {
            return Err(refused());
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut buffer = ciphertext.to_vec();
        let length = self
            .0
            .key
            .open_in_place(nonce, Aad::from(associated(bound_to)), &mut buffer)
            .map_err(|_| refused())?
            .len();
        buffer.truncate(length);
        Ok(Secret::new(buffer))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({})", self.0.id)
    }
}

/// The parts as one text that no other parts have.
pub(super) fn associated(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// Fresh key bytes.
pub(super) fn random() -> Result<[u8; KEY_LEN]> {
    let mut bytes = [0; KEY_LEN];
    rand::fill(&mut bytes).map_err(|_| Error::internal("key.generate", "the machine has no randomness"))?;
    Ok(bytes)
}

fn malformed() -> Error {
    Error::invalid_input("key.master", "a master key is the standard base64 of exactly 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_sealed_secret_opens_only_in_its_place() {
        let key = MasterKey::ephemeral().unwrap();
        let sealed = key.seal(b"private", &["acme", "k1"]).unwrap();
        assert_eq!(key.open(&sealed, &["acme", "k1"]).unwrap().expose(), b"private");
        for place in [&["beta", "k1"][..], &["acme", "k2"], &["acmek1"], &["acm", "ek1"], &[]] {
            assert_eq!(key.open(&sealed, place).unwrap_err().kind(), ErrorKind::Corrupted, "{place:?}");
        }
        let other = MasterKey::ephemeral().unwrap();
        assert!(other.open(&sealed, &["acme", "k1"]).is_err());
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_found() {
        let key = MasterKey::ephemeral().unwrap();
        let sealed = key.seal(b"private", &["acme"]).unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open(&altered, &["acme"]).is_err(), "byte {at}");
            assert!(key.open(&sealed[..at], &["acme"]).is_err(), "length {at}");
        }
    }

    #[test]
    fn many_starting_at_once_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let sealed: Vec<_> = std::thread::scope(|scope| {
            let start = || MasterKey::load_or_create(&path).unwrap().seal(b"x", &[]).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let key = MasterKey::load_or_create(&path).unwrap();
        assert!(sealed.iter().all(|sealed| key.open(sealed, &[]).is_ok()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a draft was left behind");
    }

    #[test]
    fn an_earlier_key_is_read_and_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("earlier.key");
        assert_eq!(MasterKey::load(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!path.exists());
        let made = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(MasterKey::load(&path).unwrap().id(), made.id());
        assert_ne!(MasterKey::ephemeral().unwrap().id(), made.id());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::load_or_create(&path).unwrap_err();
        assert!(error.message().contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_repeating_it() {
        for text in ["", "hunter2", "aGVsbG8="] {
            let error = MasterKey::from_base64(&Secret::new(text.to_owned())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(text.is_empty() || !error.report().contains(text));
        }
    }
}

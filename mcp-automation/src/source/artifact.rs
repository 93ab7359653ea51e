//! One file of a registry, and the hash that says which.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mcp_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::{Package, PackageRef, Version};

/// The hashes that registries give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A hash, written `sha512-` and standard base64 as in Subresource Integrity.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Hash {
    algorithm: HashAlgorithm,
    digest: Box<[u8]>,
}

impl Hash {
    /// Reads `sha256-…` or `sha512-…`.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::invalid_input("source.hash", "a hash is `sha256-` or `sha512-` and base64");
        let (algorithm, base64) = match text.split_once('-') {
            Some(("sha256", rest)) => (HashAlgorithm::Sha256, rest),
            Some(("sha512", rest)) => (HashAlgorithm::Sha512, rest),
            _ => return Err(refused()),
        };
        Self::of_digest(algorithm, STANDARD.decode(base64).map_err(|_| refused())?).ok_or_else(refused)
    }

    /// A SHA-256 in hexadecimal, as PyPI gives it.
    pub(super) fn from_hex_sha256(text: &str) -> Option<Self> {
        // `from_str_radix` takes a sign too.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let digest = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<_>>>()?;
        Self::of_digest(HashAlgorithm::Sha256, digest)
    }

    fn of_digest(algorithm: HashAlgorithm, digest: Vec<u8>) -> Option<Self> {
        (digest.len() == algorithm.digest().output_len()).then(|| Self { algorithm, digest: digest.into() })
    }

    /// The first 8 hexadecimal digits, for names of folders.
    #[must_use]
    pub fn short(&self) -> String {
        self.digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn hasher(&self) -> Hasher {
        Hasher { algorithm: self.algorithm, context: digest::Context::new(self.algorithm.digest()) }
    }
}

/// Computes a hash piece by piece.
pub(crate) struct Hasher {
    algorithm: HashAlgorithm,
    context: digest::Context,
}

/// A SHA-256 that has hashed nothing yet.
pub(crate) fn hasher() -> Hasher {
    let algorithm = HashAlgorithm::Sha256;
    Hasher { algorithm, context: digest::Context::new(algorithm.digest()) }
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(crate) fn finish(self) -> Hash {
        Hash { algorithm: self.algorithm, digest: self.context.finish().as_ref().into() }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.algorithm.as_str(), STANDARD.encode(&self.digest))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// An exact version's artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The package.
    pub package: Package,
    /// The version.
    pub version: Version,
    /// Where its artifact is.
    pub url: Url,
    /// The artifact's name as a file, without a path.
    pub file: String,
    /// The registry's hash of it.
    pub hash: Hash,
    /// Its size in bytes, where the registry says it.
    pub size: Option<u64>,
}

impl Resolved {
    /// Package and version as an operator writes them.
    #[must_use]
    pub fn reference(&self) -> PackageRef {
        PackageRef { package: self.package.clone(), version: Some(self.version.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_read_back_and_anything_else_is_refused() {
        let mut hasher = hasher();
        hasher.update(b"abc");
        let hash = hasher.finish();
        assert_eq!(hash.short(), "ba7816bf");
        assert_eq!(Hash::parse(&hash.to_string()).unwrap(), hash);
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::from_hex_sha256(hex).unwrap(), hash);
        for bad in ["", "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha256-", "sha256-AAAA", "sha512-!"] {
            assert!(Hash::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "ba", &hex[1..], &"é".repeat(32), &"+a".repeat(32)] {
            assert!(Hash::from_hex_sha256(bad).is_none(), "{bad}");
        }
    }
}

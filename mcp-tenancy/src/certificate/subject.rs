//! What a certificate says of its holder, as far as it is looked at.

use std::fmt;

use mcp_core::{Error, Result};
use serde::{Serialize, Serializer};

/// Longest subject, in bytes.
const MAX_LEN: usize = 512;

/// One name of a certificate: a SPIFFE id, a DNS name, or its public key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateSubject(String);

impl CertificateSubject {
    /// Parses `spiffe://trust-domain/path` (a URI SAN), `dns:host.example` (a DNS SAN, without wildcards), or
    /// `spki:` and the 64 hex digits of the SHA-256 of the `SubjectPublicKeyInfo`.
    ///
    /// Each has one spelling: lower case, save for the path of a SPIFFE id.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let good = text.len() <= MAX_LEN
            && if let Some(id) = text.strip_prefix("spiffe://") {
                is_spiffe(id)
            } else if let Some(name) = text.strip_prefix("dns:") {
                is_dns(name)
            } else if let Some(hex) = text.strip_prefix("spki:") {
                hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            } else {
                false
            };
        match good {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::invalid_input(
                "certificate.subject",
                "a subject is `spiffe://domain/path`, `dns:host.example` or `spki:` and 64 hex digits",
            )),
        }
    }

    /// The public key with this SHA-256 of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn of_key(sha256: &[u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::from("spki:");
        sha256.iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        });
        Self(text)
    }

    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rules of the SPIFFE id specification, §2.
fn is_spiffe(id: &str) -> bool {
    let Some((domain, path)) = id.split_once('/') else { return false };
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let in_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let segment = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(in_path);
    (1..=255).contains(&domain.len()) && domain.bytes().all(in_domain) && path.split('/').all(segment)
}

fn is_dns(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl fmt::Display for CertificateSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CertificateSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateSubject({})", self.0)
    }
}

impl Serialize for CertificateSubject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_has_one_spelling() {
        let hex = "0123456789abcdef".repeat(4);
        let key = format!("spki:{hex}");
        for good in ["spiffe://prod.acme/ns/a/sa/Robot_1", "dns:api.acme.example", "dns:localhost", &key] {
            assert_eq!(CertificateSubject::parse(good).unwrap().as_str(), good);
        }
        let long = format!("spiffe://a/{}", "x".repeat(MAX_LEN));
        for bad in [
            "",
            "acme",
            "spiffe://",
            "spiffe://acme",
            "spiffe://acme/",
            "spiffe://acme//a",
            "spiffe://acme/../b",
            "spiffe://Acme/a",
            "spiffe://u@acme/a",
            "spiffe://acme:1/a",
            "spiffe://acme/a?b",
            "spiffe://acme/a/",
            "SPIFFE://acme/a",
            "dns:",
            "dns:*.acme.example",
            "dns:Acme.example",
            "dns:a..b",
            "dns:a.",
            "dns:-a",
            "dns:a b",
            "dns:a\0b",
            "spki:",
            "spki:00",
            "uri:https://a",
            &long,
            &key.to_uppercase(),
        ] {
            assert!(CertificateSubject::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_named_by_its_digest() {
        let subject = CertificateSubject::of_key(&[0xab; 32]);
        assert_eq!(subject, CertificateSubject::parse(&format!("spki:{}", "ab".repeat(32))).unwrap());
    }
}

//! The certificate of a connection.

use std::sync::Arc;

use mcp_core::{Error, Result};

use super::CertificateSubject;

/// Most subjects of a certificate; one with more is refused.
pub const MAX_SUBJECTS: usize = 32;

/// In the extensions of a request: what the certificate says that its client proved to hold in the TLS
/// handshake.
///
/// Whoever makes one vouches that the certificate was verified against the listener's authorities, and that
/// it came with the connection that the request came on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate(Arc<[CertificateSubject]>);

impl PeerCertificate {
    /// A verified certificate with these subjects.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for more than [`MAX_SUBJECTS`].
    pub fn new(subjects: Vec<CertificateSubject>) -> Result<Self> {
        if subjects.len() > MAX_SUBJECTS {
            let message = format!("a client certificate may have {MAX_SUBJECTS} names at most");
            return Err(Error::invalid_input("certificate.read", message));
        }
        Ok(Self(subjects.into()))
    }

    /// Reads the verified end-entity certificate `der`: the SPIFFE id among its URI names, its DNS names, and
    /// the digest of its public key. Names of other kinds, wildcards included, are not looked at.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it is no certificate, has more than
    /// [`MAX_SUBJECTS`], or has two URI names one of which is a SPIFFE id, which that specification forbids.
    #[cfg(feature = "mtls")]
    pub fn from_der(der: &[u8]) -> Result<Self> {
        use aws_lc_rs::digest;

        let der = rustls_pki_types::CertificateDer::from(der);
        let certificate = webpki::EndEntityCert::try_from(&der).map_err(|error| {
            Error::invalid_input("certificate.read", "this is no X.509 certificate").with_source(error)
        })?;
        let mut sha256 = [0; 32];
        let key = certificate.subject_public_key_info();
        sha256.copy_from_slice(digest::digest(&digest::SHA256, key.as_ref()).as_ref());
        let mut subjects = vec![CertificateSubject::of_key(&sha256)];
        let uris: Vec<_> = certificate.valid_uri_names().take(MAX_SUBJECTS + 1).collect();
        if uris.len() > 1 && uris.iter().any(|uri| uri.starts_with("spiffe:")) {
            let message = "a certificate with a SPIFFE id may have no other URI name";
            return Err(Error::invalid_input("certificate.read", message));
        }
        let spiffe = uris.into_iter().filter(|uri| uri.starts_with("spiffe:"));
        subjects.extend(spiffe.filter_map(|uri| CertificateSubject::parse(uri).ok()));
        let names = certificate.valid_dns_names().map(|name| format!("dns:{}", name.to_ascii_lowercase()));
        let names = names.filter_map(|name| CertificateSubject::parse(&name).ok());
        subjects.extend(names.take(MAX_SUBJECTS + 1));
        Self::new(subjects)
    }

    /// What it says.
    #[must_use]
    pub fn subjects(&self) -> &[CertificateSubject] {
        &self.0
    }
}

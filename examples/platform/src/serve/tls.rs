//! The certificate, reloaded when its files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use mcp_core::{Error, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// A certificate chain and key read from PEM files.
#[derive(Debug)]
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    /// When the files were changed that were read first.
    first: [Option<SystemTime>; 2],
}

impl Certificates {
    /// Reads both files.
    ///
    /// # Errors
    /// `InvalidInput` that names the file and what is wrong with it.
    pub fn load(cert: &Path, key: &Path) -> Result<Arc<Self>> {
        // Before they are read: what changes meanwhile is then read again.
        let first = [cert, key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok());
        let current = ArcSwap::from_pointee(read(cert, key)?);
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), current, first }))
    }

    /// The TLS configuration: 1.3, with HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// `Internal` if the cryptography library has no safe protocol versions.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Error::internal("tls.config", "no protocol versions").with_source(error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reloads the files whenever they change, until dropped. Files that are wrong are logged and the
    /// certificate in use stays.
    pub async fn watch(self: Arc<Self>) {
        let mut seen = self.first;
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        loop {
            ticks.tick().await;
            let now = self.modified().await;
            if now == seen {
                continue;
            }
            seen = now;
            let reading = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || reading.reload()).await;
            match read.unwrap_or_else(|error| Err(Error::internal("tls.load", error.to_string()))) {
                Ok(()) => tracing::info!(cert = %self.cert.display(), "certificate reloaded"),
                Err(error) => {
                    tracing::error!(error = error.report(), "certificate kept: the new one is wrong")
                }
            }
        }
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// As [`load`](Self::load); the certificate in use stays.
    pub fn reload(&self) -> Result<()> {
        self.current.store(Arc::new(read(&self.cert, &self.key)?));
        Ok(())
    }

    async fn modified(&self) -> [Option<SystemTime>; 2] {
        let of = async |path: &Path| tokio::fs::metadata(path).await.and_then(|meta| meta.modified()).ok();
        [of(&self.cert).await, of(&self.key).await]
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey> {
    let refuse =
        |path: &Path, why: String| Error::invalid_input("tls.load", format!("{}: {why}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(cert, format!("no PEM certificate chain: {error}")))?;
    if chain.is_empty() {
        return Err(refuse(cert, "holds no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| refuse(key, format!("no PEM private key: {error}")))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = CertifiedKey::from_der(chain, private, &provider)
        .map_err(|error| refuse(key, format!("does not go with the certificate: {error}")))?;
    Ok(certified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(dir: &Path, name: &str) -> (PathBuf, PathBuf, Vec<u8>) {
        let pair = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&cert, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        (cert, key, pair.cert.der().to_vec())
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_wrong_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key, first) = write_pair(dir.path(), "one.test");
        let certificates = Certificates::load(&cert, &key).unwrap();
        assert_eq!(certificates.current.load().cert[0].as_ref(), first);

        let (_, _, second) = write_pair(dir.path(), "two.test");
        certificates.reload().unwrap();
        assert_eq!(certificates.current.load().cert[0].as_ref(), second);

        std::fs::write(&cert, "nonsense").unwrap();
        let error = certificates.reload().unwrap_err();
        assert!(error.message().contains("cert.pem"), "{error}");
        assert_eq!(certificates.current.load().cert[0].as_ref(), second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_renewed_before_the_watch_begins_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key, _) = write_pair(dir.path(), "one.test");
        let certificates = Certificates::load(&cert, &key).unwrap();

        let (_, _, second) = write_pair(dir.path(), "two.test");
        // Two writes within a tick of the file system's clock have the same time; a renewal is not that quick.
        let later = std::fs::metadata(&cert).unwrap().modified().unwrap() + Duration::from_secs(60);
        std::fs::File::open(&cert).unwrap().set_modified(later).unwrap();

        let watching = tokio::spawn(Arc::clone(&certificates).watch());
        let taken = async {
            while certificates.current.load().cert[0].as_ref() != second {
                tokio::time::sleep(RELOAD_EVERY).await;
            }
        };
        let taken = tokio::time::timeout(RELOAD_EVERY * 100, taken).await;
        assert!(taken.is_ok(), "the renewed certificate went unnoticed");
        watching.abort();
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cert, _, _) = write_pair(one.path(), "one.test");
        let (_, key, _) = write_pair(two.path(), "two.test");
        let error = Certificates::load(&cert, &key).unwrap_err();
        assert!(error.message().contains("does not go with"), "{error}");
    }
}

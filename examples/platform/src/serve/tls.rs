//! The certificate, and the authorities and revocations of clients' certificates, reloaded when their files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use mcp_core::{
    Error, Result,
    clock::{Clock as _, SystemClock, Timestamp},
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::revocation::{RevocationLists, refuse};

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// Who among clients may show a certificate, and whether they must.
#[derive(Debug, Clone)]
pub struct Clients {
    /// PEM file with the authorities that their certificates must come from.
    pub authorities: PathBuf,
    /// PEM files with lists of those that are revoked. Where there are any, a certificate none of them says anything
    /// of is refused, and so are all of an authority whose list has expired.
    pub revoked: Vec<PathBuf>,
    /// Whether a client without one is refused in the handshake.
    pub required: bool,
}

/// A certificate chain and key read from PEM files, and what clients may show.
#[derive(Debug)]
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    clients: Option<Clients>,
    current: ArcSwap<Current>,
    /// When the files were changed that were read first.
    first: Times,
}

type Times = Vec<Option<SystemTime>>;

/// What the next handshake goes by.
#[derive(Debug)]
struct Current {
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at which certificate it is"))]
    certified: Arc<CertifiedKey>,
    config: Arc<ServerConfig>,
    /// The file with the revocation list that ends first, and when it does.
    revocation_ends: Option<(PathBuf, Timestamp)>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// `InvalidInput` that names the file and what is wrong with it.
    pub fn load(cert: &Path, key: &Path, clients: Option<Clients>) -> Result<Arc<Self>> {
        // Before they are read: what changes meanwhile is then read again.
        let first = paths(cert, key, clients.as_ref())
            .map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
            .collect();
        let current = ArcSwap::from_pointee(read(cert, key, clients.as_ref())?);
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), clients, current, first }))
    }

    /// What the next connection's handshake goes by: TLS 1.3, with HTTP/2 and HTTP/1.1.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// Reloads the files whenever they change, until dropped. Files that are wrong are logged and what is in use
    /// stays.
    pub async fn watch(self: Arc<Self>) {
        let mut seen = self.first.clone();
        let mut told = None;
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        loop {
            ticks.tick().await;
            self.tell_of_ended(&mut told);
            let now = self.modified().await;
            if now == seen {
                continue;
            }
            seen = now;
            let reading = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || reading.reload()).await;
            match read.unwrap_or_else(|error| Err(Error::internal("tls.load", error.to_string()))) {
                Ok(()) => tracing::info!(cert = %self.cert.display(), "certificates reloaded"),
                Err(error) => {
                    tracing::error!(error = error.report(), "certificates kept: the new ones are wrong")
                }
            }
        }
    }

    /// Reads the files again. Connections that are open stay as they are.
    ///
    /// # Errors
    /// As [`load`](Self::load); what is in use stays.
    pub fn reload(&self) -> Result<()> {
        self.current.store(Arc::new(read(&self.cert, &self.key, self.clients.as_ref())?));
        Ok(())
    }

    /// Says once of a list that is in use and has ended: until the next one is there, nobody of its authority gets in.
    fn tell_of_ended(&self, told: &mut Option<(PathBuf, Timestamp)>) {
        let current = self.current.load();
        let ended = current.revocation_ends.as_ref().filter(|(_, ends)| *ends <= SystemClock.now());
        if let Some((file, ends)) = ended.filter(|ended| told.as_ref() != Some(ended)) {
            tracing::error!(file = %file.display(), %ends, "a revocation list has ended; its clients are refused");
            *told = Some((file.clone(), *ends));
        }
    }

    async fn modified(&self) -> Times {
        let mut times = Times::new();
        for path in paths(&self.cert, &self.key, self.clients.as_ref()) {
            times.push(tokio::fs::metadata(path).await.and_then(|meta| meta.modified()).ok());
        }
        times
    }
}

fn paths<'a>(cert: &'a Path, key: &'a Path, clients: Option<&'a Clients>) -> impl Iterator<Item = &'a Path> {
    let of_clients = clients.into_iter().flat_map(|clients| {
        std::iter::once(&clients.authorities).chain(&clients.revoked).map(PathBuf::as_path)
    });
    [cert, key].into_iter().chain(of_clients)
}

fn read(cert: &Path, key: &Path, clients: Option<&Clients>) -> Result<Current> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| refuse(key, &format!("no PEM private key: {error}")))?;
    let certified = CertifiedKey::from_der(chain(cert)?, private, &provider)
        .map_err(|error| refuse(key, &format!("does not go with the certificate: {error}")))?;
    let certified = Arc::new(certified);
    let (verifier, revocation_ends) = match clients {
        None => (WebPkiClientVerifier::no_client_auth(), None),
        Some(clients) => verifier(clients, &provider)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::internal("tls.config", "no protocol versions").with_source(error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certified))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if clients.is_some() {
        // A resumed session's certificate is not verified again, however long ago it expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Current { certified, config: Arc::new(config), revocation_ends })
}

type Verifying = (Arc<dyn ClientCertVerifier>, Option<(PathBuf, Timestamp)>);

fn verifier(clients: &Clients, provider: &Arc<CryptoProvider>) -> Result<Verifying> {
    let file = clients.authorities.as_path();
    let mut roots = RootCertStore::empty();
    for authority in chain(file)? {
        roots
            .add(authority)
            .map_err(|error| refuse(file, &format!("holds what is no certificate authority: {error}")))?;
    }
    let revoked = RevocationLists::read(&clients.revoked, SystemClock.now())?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(revoked.lists)
        .enforce_revocation_expiration();
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| {
        let files: Vec<_> = clients.revoked.iter().map(|file| file.display().to_string()).collect();
        let with = if files.is_empty() { String::new() } else { format!(" with {}", files.join(", ")) };
        refuse(file, &format!("cannot verify clients{with}: {error}"))
    })?;
    Ok((verifier, revoked.first_to_end))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(file, &format!("no PEM certificates: {error}")))?;
    if chain.is_empty() { Err(refuse(file, "holds no certificate")) } else { Ok(chain) }
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
        let certificates = Certificates::load(&cert, &key, None).unwrap();
        assert_eq!(certificates.current.load().certified.cert[0].as_ref(), first);

        let (_, _, second) = write_pair(dir.path(), "two.test");
        certificates.reload().unwrap();
        assert_eq!(certificates.current.load().certified.cert[0].as_ref(), second);

        std::fs::write(&cert, "nonsense").unwrap();
        let error = certificates.reload().unwrap_err();
        assert!(error.message().contains("cert.pem"), "{error}");
        assert_eq!(certificates.current.load().certified.cert[0].as_ref(), second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_renewed_before_the_watch_begins_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key, _) = write_pair(dir.path(), "one.test");
        let certificates = Certificates::load(&cert, &key, None).unwrap();

        let (_, _, second) = write_pair(dir.path(), "two.test");
        // Two writes within a tick of the file system's clock have the same time; a renewal is not that quick.
        let later = std::fs::metadata(&cert).unwrap().modified().unwrap() + Duration::from_secs(60);
        std::fs::File::open(&cert).unwrap().set_modified(later).unwrap();

        let watching = tokio::spawn(Arc::clone(&certificates).watch());
        let taken = async {
            while certificates.current.load().certified.cert[0].as_ref() != second {
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
        let error = Certificates::load(&cert, &key, None).unwrap_err();
        assert!(error.message().contains("does not go with"), "{error}");
    }

    #[test]
    fn authorities_are_read_again_and_a_file_without_any_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key, _) = write_pair(dir.path(), "one.test");
        let authorities = dir.path().join("clients.pem");
        let clients =
            || Some(Clients { authorities: authorities.clone(), revoked: Vec::new(), required: true });
        for wrong in ["", "nonsense"] {
            std::fs::write(&authorities, wrong).unwrap();
            let error = Certificates::load(&cert, &key, clients()).unwrap_err();
            assert!(error.message().contains("clients.pem"), "{error}");
        }
        std::fs::copy(&cert, &authorities).unwrap();
        let certificates = Certificates::load(&cert, &key, clients()).unwrap();
        let before = certificates.server_config();
        certificates.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &certificates.server_config()), "nothing was read again");
        std::fs::write(&authorities, "nonsense").unwrap();
        let kept = certificates.server_config();
        assert!(certificates.reload().is_err());
        assert!(Arc::ptr_eq(&kept, &certificates.server_config()), "the authorities in use are gone");
    }

    fn revocation_list(year: i32) -> String {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer =
            rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: rcgen::SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&issuer).unwrap().pem().unwrap()
    }

    #[test]
    fn lists_of_revoked_certificates_are_read_again_and_the_last_good_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key, _) = write_pair(dir.path(), "one.test");
        let (near, far) = (dir.path().join("near.crl"), dir.path().join("far.crl"));
        std::fs::write(&near, revocation_list(2040)).unwrap();
        // In the other of the two forms of time.
        std::fs::write(&far, revocation_list(2060)).unwrap();
        let clients =
            Clients { authorities: cert.clone(), revoked: vec![far.clone(), near.clone()], required: true };
        let certificates = Certificates::load(&cert, &key, Some(clients)).unwrap();
        assert_eq!(certificates.first.len(), 5, "a file is not watched");
        let ends = certificates.current.load().revocation_ends.clone().unwrap();
        assert_eq!((ends.0, ends.1.to_string()), (near.clone(), "2040-01-01T00:00:00Z".to_owned()));
        for wrong in [String::new(), "nonsense".to_owned(), revocation_list(2021)] {
            std::fs::write(&near, wrong).unwrap();
            let kept = certificates.server_config();
            let error = certificates.reload().unwrap_err();
            assert!(error.message().contains("near.crl"), "{error}");
            assert!(Arc::ptr_eq(&kept, &certificates.server_config()), "the list in use is gone");
        }
        std::fs::write(&near, revocation_list(2041)).unwrap();
        certificates.reload().unwrap();
        let ends = certificates.current.load().revocation_ends.clone().unwrap();
        assert_eq!(ends.1.to_string(), "2041-01-01T00:00:00Z");
    }
}

//! Syslog over TLS (RFC 5425), delivered at least once.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{AuditSink, ExportPage, SyslogFormat, frame};
use crate::{
    error::{Detail, Error, Result},
    key::Secret,
};

/// What a receiver may say, which is nothing; more ends the delivery.
const MOST_READ: usize = 64 * 1024;

/// What counts as a receipt.
///
/// Syslog has no answers: bytes that were written may still be lost on the way. But whoever closes a TLS
/// connection properly has read it to its end, so each delivery has a connection of its own, and its orderly
/// end is the receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Receipt {
    /// The receiver answers our `close_notify` with its own, as RFC 5425, section 4.4, says it must.
    #[default]
    CloseNotify,
    /// The receiver closes the connection without an error, be it without `close_notify`, as rsyslog does. An
    /// attacker between the two can forge that, and records would be lost.
    Closed,
}

/// Where to, and as whom. [`new`](Self::new) gives the defaults.
#[derive(Debug)]
pub struct SyslogTlsConfig {
    /// `host:port` of the receiver; RFC 5425 gives port 6514.
    pub address: String,
    /// The name that its certificate must have. Default: the host of `address`.
    pub server_name: String,
    /// The certificates in PEM that are trusted to have signed it.
    pub roots: Vec<u8>,
    /// Our certificates and key in PEM, where the receiver asks for them. Default none.
    pub client: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    /// How messages look.
    pub format: SyslogFormat,
    /// Default `CloseNotify`.
    pub receipt: Receipt,
    /// How long connecting may take, TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long writing one page may take. Default 20 s.
    pub write_timeout: Duration,
    /// How long to wait for the receipt. Default 10 s.
    pub receipt_timeout: Duration,
}

impl SyslogTlsConfig {
    /// The defaults, for a receiver at `host:port` whose certificate one of `roots` has signed.
    #[must_use]
    pub fn new(address: impl Into<String>, roots: Vec<u8>, format: SyslogFormat) -> Self {
        let address = address.into();
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        Self {
            server_name: host.trim_matches(['[', ']']).to_owned(),
            address,
            roots,
            client: None,
            format,
            receipt: Receipt::CloseNotify,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
            receipt_timeout: Duration::from_secs(10),
        }
    }
}

/// A receiver of syslog over TLS.
pub struct SyslogTls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
    config: SyslogTlsConfig,
}

impl SyslogTls {
    /// Checks the settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that names the setting.
    pub fn new(config: SyslogTlsConfig) -> Result<Self> {
        config.format.check()?;
        let mut roots = RootCertStore::empty();
        for root in certificates("roots", &config.roots)? {
            let unusable =
                |error| refused("roots", "a certificate of `roots` cannot be used").with_source(error);
            roots.add(root).map_err(unusable)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("audit.syslog", "TLS cannot be set up").with_source(error))?
            .with_root_certificates(roots);
        let tls = match &config.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.expose())
                    .map_err(|_| refused("client", "the key of `client` is no private key in PEM"))?;
                builder.with_client_auth_cert(certificates("client", chain)?, key).map_err(|error| {
                    refused("client", "certificate and key of `client` do not fit").with_source(error)
                })?
            }
        };
        let server_name = ServerName::try_from(config.server_name.clone())
            .map_err(|_| refused("server_name", "`server_name` is neither a DNS name nor an IP address"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(tls)), server_name, config })
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(&self.config.address).await?;
        tcp.set_nodelay(true)?;
        self.connector.connect(self.server_name.clone(), tcp).await
    }

    fn away(&self, what: &str) -> Error {
        Error::unavailable("audit.syslog", format!("the syslog receiver {} {what}", self.config.address))
    }

    /// Whether the receiver has read everything.
    async fn receipt(&self, stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
        let (mut buffer, mut read) = ([0; 1024], 0);
        while read < MOST_READ {
            match stream.read(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return match self.config.receipt {
                        Receipt::Closed => Ok(()),
                        Receipt::CloseNotify => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("the receiver talks"))
    }
}

/// A page is one connection: its messages, our `close_notify`, and the receiver's as the receipt.
#[async_trait]
impl AuditSink for SyslogTls {
    async fn deliver(&self, page: &ExportPage) -> Result<()> {
        let messages = page.syslog(&self.config.format)?;
        let frames: String = messages.iter().map(|message| frame(message)).collect();
        let late = |what| move |_| self.away(what);
        let failed = |what| move |error: io::Error| self.away(what).with_source(error);

        let connecting = timeout(self.config.connect_timeout, self.connect()).await;
        let mut stream = connecting
            .map_err(late("did not connect in time"))?
            .map_err(failed("cannot be reached, or its certificate is not trusted"))?;
        let writing = timeout(self.config.write_timeout, async {
            stream.write_all(frames.as_bytes()).await?;
            stream.shutdown().await
        });
        writing
            .await
            .map_err(late("does not read"))?
            .map_err(failed("closed the connection while it was written to"))?;
        let receipt = timeout(self.config.receipt_timeout, self.receipt(&mut stream)).await;
        receipt
            .map_err(late("did not say in time that it has read everything"))?
            .map_err(failed("did not end the connection properly; if it never does, allow `Receipt::Closed`"))
    }
}

impl std::fmt::Debug for SyslogTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SyslogTls({})", self.config.address)
    }
}

fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let read: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(refused(setting, format!("`{setting}` holds no certificate in PEM"))),
    }
}

fn refused(setting: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_input("audit.syslog", message)
        .with_detail(Detail::Field { path: setting.to_owned(), nearest: None })
}

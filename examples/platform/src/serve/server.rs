//! Both listeners of a running platform, from bind to drained.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mcp_core::{Error, Result};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Certificates, Clients, Limits, Listener};
use crate::{app, config::ClientCertificates, platform::Platform};

/// Connections to the operations listener: a few scrapers and probes.
const OPERATIONS_CONNECTIONS: usize = 64;

/// A platform whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    platform: Arc<Platform>,
    public: Listener,
    operations: Listener,
    certificates: Option<Arc<Certificates>>,
    drain: Duration,
}

impl Server {
    /// Binds the listeners that the platform's configuration names.
    ///
    /// # Errors
    /// `InvalidInput` for a certificate that cannot be read, `Unavailable` for an address in use.
    pub async fn bind(platform: Arc<Platform>) -> Result<Self> {
        let server = &platform.config().server;
        let drain = Duration::from_secs(server.drain_seconds);
        let clients = match server.client_certificates {
            ClientCertificates::Off => None,
            asked => Some(Clients {
                authorities: server.client_ca.clone(),
                revoked: server.client_crl.clone(),
                required: asked == ClientCertificates::Required,
            }),
        };
        let certificates = match server.tls_cert.as_os_str().is_empty() {
            true => None,
            false => Some(Certificates::load(&server.tls_cert, &server.tls_key, clients)?),
        };
        let limits = Limits::new(server.max_connections, drain);
        let public = Listener::bind(server.listen, certificates.clone(), limits).await?;
        let limits = Limits::new(OPERATIONS_CONNECTIONS, drain);
        let operations = Listener::bind(server.operations_listen, None, limits).await?;
        Ok(Self { platform, public, operations, certificates, drain })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// `Internal` if the socket has no address.
    pub fn address(&self) -> Result<SocketAddr> {
        self.public.address()
    }

    /// Where operators look.
    ///
    /// # Errors
    /// `Internal` if the socket has no address.
    pub fn operations_address(&self) -> Result<SocketAddr> {
        self.operations.address()
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.certificates.is_some() { "https" } else { "http" }
    }

    /// Serves until `shutdown`; then takes no new call, lets those in flight end within the drain time, stops
    /// the servers and closes the databases. `/metrics` and `/ready` answer to the last.
    ///
    /// # Errors
    /// `DeadlineExceeded` if calls had to be cut, after everything else has been closed in order.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let Self { platform, public, operations, certificates, drain } = self;
        let app = app::app(&platform)?;
        let (stop_rest, rest) = (CancellationToken::new(), TaskTracker::new());
        rest.spawn(operations.run(app::operations(&platform), stop_rest.clone()));
        if let Some(certificates) = certificates {
            let stop = stop_rest.clone();
            rest.spawn(async move { stop.run_until_cancelled(certificates.watch()).await });
        }
        rest.close();

        let draining = CancellationToken::new();
        let serving = tokio::spawn(public.run(app, draining.clone()));
        shutdown.cancelled().await;
        tracing::info!(seconds = drain.as_secs(), "draining");
        // New calls are refused before connections close, so that open streams can end with a word.
        let drained =
            tokio::join!(async { tokio::time::timeout(drain, platform.drain()).await.is_ok() }, async {
                draining.cancel();
                serving.await.unwrap_or(false)
            },);
        platform.close().await;
        stop_rest.cancel();
        rest.wait().await;
        match drained {
            (true, true) => Ok(()),
            _ => Err(Error::new(
                mcp_core::ErrorKind::DeadlineExceeded,
                "serve.drain",
                format!("calls were cut that had not ended within {} s", drain.as_secs()),
            )),
        }
    }
}

/// Cancelled by SIGTERM or Ctrl-C; a second one ends the process at once.
///
/// # Errors
/// `Internal` if the signals cannot be watched.
pub fn shutdown_signal() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| {
        signal(kind)
            .map_err(|error| Error::internal("serve.signal", "cannot watch signals").with_source(error))
    };
    let (mut term, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let cancel = shutdown.clone();
    // Lives as long as the process; there is nothing of it to join.
    tokio::spawn(async move {
        for already in [false, true] {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            if already {
                tracing::warn!("second signal: ending at once");
                std::process::exit(130);
            }
            cancel.cancel();
        }
    });
    Ok(shutdown)
}

//! The audit log, delivered elsewhere as it grows.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    audit::{
        AuditStore, Chain,
        export::{
            AuditSink, ExportPage, FilePositions, Forwarder, ForwarderConfig, Positions, Receipt,
            SyslogFormat, SyslogTls, SyslogTlsConfig,
        },
    },
    clock::{Clock as _, SystemClock, Timestamp},
    key::Secret,
    lease::Leases,
};
use serde::Serialize;

use super::secrets;
use crate::config::{Config, Syslog, SyslogReceipt};

/// A forwarder to a syslog receiver.
#[derive(Debug)]
pub(super) struct Forwarding {
    forwarder: Forwarder,
    positions: Arc<FilePositions>,
    sink: Arc<Watched>,
}

impl Forwarding {
    /// Starts it, where a receiver is configured.
    ///
    /// # Errors
    /// `InvalidInput` that names the setting, `Unavailable` if positions cannot be kept.
    pub(super) async fn start(
        config: &Config,
        store: Arc<dyn AuditStore>,
        leases: Arc<dyn Leases>,
    ) -> Result<Option<Self>> {
        let settings = &config.audit.syslog;
        if settings.address.is_empty() {
            return Ok(None);
        }
        let receiver = SyslogTls::new(receiver(settings).await?)?;
        let sink = Arc::new(Watched { receiver, seen: Mutex::default() });
        let positions = Arc::new(FilePositions::open(positions_dir(config))?);
        let forwarder = Forwarder::start(
            "syslog",
            store,
            leases,
            Arc::clone(&positions) as _,
            Arc::clone(&sink) as _,
            ForwarderConfig::default(),
        )?;
        Ok(Some(Self { forwarder, positions, sink }))
    }

    /// Delivers what waits and ends. The sealer has ended before.
    pub(super) async fn shutdown(&self) {
        self.forwarder.shutdown().await;
    }

    /// How far it has come, for `/ready`.
    pub(super) async fn state(&self, store: &dyn AuditStore, scope: &PlatformScope) -> ForwardingState {
        let seen = self.sink.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let platform_chain = async {
            let position = self.positions.load(&Chain::Platform).await?;
            let head = store.head(scope, &Chain::Platform).await?.seq;
            Ok::<_, mcp_core::Error>(Reached { position, head })
        };
        ForwardingState { seen, platform_chain: platform_chain.await.ok() }
    }
}

/// What `/ready` shows of the forwarder.
#[derive(Debug, Serialize)]
pub(super) struct ForwardingState {
    #[serde(flatten)]
    seen: Seen,
    /// Of the platform's own chain; missing where it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_chain: Option<Reached>,
}

/// How far the forwarder has come in a chain, and how long that is.
#[derive(Debug, Serialize)]
struct Reached {
    position: i64,
    head: i64,
}

/// How deliveries of this replica go.
#[derive(Debug, Clone, Default, Serialize)]
struct Seen {
    /// Links that have arrived since the start.
    delivered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A sink under watch.
#[derive(Debug)]
struct Watched {
    receiver: SyslogTls,
    seen: Mutex<Seen>,
}

#[async_trait]
impl AuditSink for Watched {
    async fn deliver(&self, page: &ExportPage) -> Result<()> {
        let delivered = self.receiver.deliver(page).await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &delivered {
            Ok(()) => {
                let total = seen.delivered + page.links.len() as u64;
                *seen = Seen { delivered: total, ..Seen::default() };
            }
            Err(error) => {
                seen.failing_since.get_or_insert_with(|| SystemClock.now());
                seen.reason = Some(error.message().to_owned());
            }
        }
        drop(seen);
        delivered
    }
}

fn positions_dir(config: &Config) -> PathBuf {
    let configured = &config.audit.syslog.positions_dir;
    match configured.as_os_str().is_empty() {
        true => config.data.dir.join("audit-positions"),
        false => configured.clone(),
    }
}

async fn receiver(settings: &Syslog) -> Result<SyslogTlsConfig> {
    let mut format = SyslogFormat::new(settings.hostname.clone());
    format.enterprise = settings.enterprise;
    let roots = secrets::read("audit.syslog.ca", &settings.ca).await?.into_bytes();
    let mut receiver = SyslogTlsConfig::new(settings.address.clone(), roots, format);
    if !settings.server_name.is_empty() {
        receiver.server_name.clone_from(&settings.server_name);
    }
    receiver.receipt = match settings.receipt {
        SyslogReceipt::CloseNotify => Receipt::CloseNotify,
        SyslogReceipt::Closed => Receipt::Closed,
    };
    if !settings.client_cert.as_os_str().is_empty() {
        let chain = secrets::read("audit.syslog.client_cert", &settings.client_cert).await?.into_bytes();
        let key = secrets::read("audit.syslog.client_key", &settings.client_key).await?;
        receiver.client = Some((chain, Secret::new(key.into_bytes())));
    }
    Ok(receiver)
}

//! What a running platform remembers: contexts, memories, and the events that tell of their changes.

use std::{sync::Arc, time::Duration};

use mcp_context::{
    context::{ContextLimits, ContextStore, RedactingContextStore},
    http_api::{self, ContextQuota},
    memory::Memories,
    vector::{LocalConfig, LocalVectorIndex},
};
use mcp_core::{
    Result, Scope,
    audit::DenialLog,
    clock::SystemClock,
    embed::Embedder,
    event::{BusConfig, EventBus, EventFeed, MemoryEventBus, OutboxRelay, RelayConfig},
    redact::Redactor,
};
use mcp_tenancy::tenant::TenantDirectory;
use tokio_util::sync::CancellationToken;

use super::database::Database;
use crate::config::Config;

/// Stores, and what publishes their events in the background.
#[derive(Debug)]
pub(super) struct Remembering {
    contexts: Arc<dyn ContextStore>,
    memories: Arc<Memories>,
    index: Arc<LocalVectorIndex>,
    feed: Arc<dyn EventFeed>,
    bus: Arc<dyn EventBus>,
    relay: OutboxRelay,
    streams_per_tenant: usize,
    stop: CancellationToken,
}

/// The limit `concurrent_contexts` of the tenant, as the directory knows it.
#[derive(Debug)]
struct TenantQuota(Arc<TenantDirectory>);

impl ContextQuota for TenantQuota {
    fn contexts(&self, scope: &Scope) -> Result<Option<u32>> {
        let known = self.0.get(scope.tenant())?;
        Ok(known.map(|known| known.tenant().profile.limits.concurrent_contexts.get()))
    }
}

impl Remembering {
    pub(super) fn start(
        database: &Database,
        config: &Config,
        embedder: Option<Arc<dyn Embedder>>,
        redactor: Option<Arc<dyn Redactor>>,
    ) -> Result<Self> {
        let settings = &config.context;
        let limits = ContextLimits {
            message_bytes: settings.message_bytes,
            messages_per_append: settings.messages_per_append,
            data_bytes: settings.data_bytes,
        };
        let bounds = LocalConfig { bytes: settings.vectors_bytes, ..LocalConfig::default() };
        let index = Arc::new(LocalVectorIndex::usearch(bounds)?);
        let bus: Arc<dyn EventBus> = Arc::new(MemoryEventBus::new(BusConfig::default()));
        let relaying = RelayConfig {
            retention: Duration::from_secs(config.events.retention_seconds),
            ..RelayConfig::default()
        };
        let clock = Arc::new(SystemClock);
        let relay =
            OutboxRelay::start(database.outbox(), Arc::clone(&bus), database.leases(), clock, relaying)?;
        let contexts = database.contexts(limits);
        let memories = Memories::new(database.memories(), embedder, Arc::clone(&index) as _);
        // The one place where personal data is kept out of what is stored: everything above gets these.
        let (contexts, memories) = match redactor {
            None => (contexts, memories),
            Some(redactor) => {
                let redacting = RedactingContextStore::new(contexts, Arc::clone(&redactor));
                (Arc::new(redacting) as _, memories.with_redactor(redactor))
            }
        };
        Ok(Self {
            contexts,
            memories: Arc::new(memories),
            index,
            feed: database.feed(),
            bus,
            relay,
            streams_per_tenant: config.events.streams_per_tenant,
            stop: CancellationToken::new(),
        })
    }

    /// What the routes work on.
    pub(super) fn routes(
        &self,
        directory: Arc<TenantDirectory>,
        denials: Arc<dyn DenialLog>,
    ) -> http_api::Deps {
        http_api::Deps {
            contexts: Arc::clone(&self.contexts),
            quota: Arc::new(TenantQuota(directory)),
            memories: Arc::clone(&self.memories),
            feed: Arc::clone(&self.feed),
            hints: self.relay.hints().clone(),
            denials,
            streams_per_tenant: self.streams_per_tenant,
            stop: self.stop.clone(),
        }
    }

    pub(super) fn contexts(&self) -> Arc<dyn ContextStore> {
        Arc::clone(&self.contexts)
    }

    pub(super) fn memories(&self) -> Arc<Memories> {
        Arc::clone(&self.memories)
    }

    /// What holds the vectors of memories, which must not outlive their tenant.
    pub(super) fn index(&self) -> Arc<LocalVectorIndex> {
        Arc::clone(&self.index)
    }

    pub(super) fn feed(&self) -> Arc<dyn EventFeed> {
        Arc::clone(&self.feed)
    }

    pub(super) fn bus(&self) -> Arc<dyn EventBus> {
        Arc::clone(&self.bus)
    }

    /// Ends the open event streams.
    pub(super) fn end_streams(&self) {
        self.stop.cancel();
    }

    /// Publishes what waits, and ends.
    pub(super) async fn shutdown(&self) {
        self.end_streams();
        self.relay.shutdown().await;
    }
}

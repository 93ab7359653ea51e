//! Who uses an instance, and since when nobody does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use mcp_core::{Result, Scope};
use serde_json::value::RawValue;
use tokio::{
    sync::{Notify, broadcast},
    time::{Duration, Instant},
};

use crate::{
    protocol::ServerName,
    upstream::{Downstream, Notice, Reply, ServerInfo, Upstream},
};

/// Calls in flight and the time of the last use.
#[derive(Debug)]
pub(super) struct Usage {
    epoch: Instant,
    last_millis: AtomicU64,
    in_flight: AtomicUsize,
    /// Rung when a call ends; a shutdown waits for it.
    bell: Arc<Notify>,
}

impl Usage {
    pub(super) fn new(bell: Arc<Notify>) -> Self {
        Self { epoch: Instant::now(), last_millis: AtomicU64::new(0), in_flight: AtomicUsize::new(0), bell }
    }

    pub(super) fn touch(&self) {
        let millis = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_millis.fetch_max(millis, Ordering::Relaxed);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Waits until a call ends, from the moment of asking on.
    pub(super) fn rung(&self) -> impl Future<Output = ()> {
        self.bell.notified()
    }

    /// Waits until nobody has used the instance for `idle`.
    pub(super) async fn unused_for(&self, idle: Duration) {
        loop {
            let last = self.epoch + Duration::from_millis(self.last_millis.load(Ordering::Relaxed));
            let busy = self.in_flight() > 0;
            let until = if busy { Instant::now() + idle } else { last + idle };
            if !busy && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn begin(&self) -> InUse<'_> {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.touch();
        InUse(self)
    }
}

struct InUse<'a>(&'a Usage);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.touch();
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.bell.notify_waiters();
        }
    }
}

/// An upstream whose calls are counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) usage: Arc<Usage>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upstream for Counted {
    fn name(&self) -> &ServerName {
        self.upstream.name()
    }

    fn info(&self) -> &ServerInfo {
        self.upstream.info()
    }

    async fn call(
        &self,
        scope: &Scope,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply> {
        if method == "subscriptions/listen" {
            // It lasts as long as somebody listens, and whoever waits for calls to end must not wait for it.
            self.usage.touch();
            return self.upstream.call(scope, method, params, downstream).await;
        }
        let _use = self.usage.begin();
        let result = self.upstream.call(scope, method, params, downstream).await;
        if let Err(error) = &result {
            let (server, kind) = (self.upstream.name().to_string(), error.kind().as_str());
            metrics::counter!("mcp_server_call_failures_total", "server" => server, "kind" => kind)
                .increment(1);
        }
        result
    }

    async fn notify(&self, scope: &Scope, method: &str, params: Option<&RawValue>) -> Result<()> {
        let _use = self.usage.begin();
        self.upstream.notify(scope, method, params).await
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.upstream.notices()
    }
}

//! The task that keeps a server informed of what is wanted, whatever becomes of the connection.

use std::{sync::Arc, time::Duration};

use mcp_core::Scope;
use tokio::time::Instant;

use super::{super::shared::Shared, feed::Feed, legacy, modern};
use crate::jsonrpc::{Fault, code};

/// The pause before the connection is made again; doubled each time it did not last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Why a connection is no longer followed.
pub(super) enum End {
    /// Nobody wants anything of this server.
    Unwanted,
    /// It is lost, or does not do as it should; for who waits.
    Lost(Fault),
}

/// Owns the feed until nobody wants anything of it or the gateway drains.
pub(super) async fn run(shared: Arc<Shared>, feed: Arc<Feed>, scope: Scope) {
    tokio::select! {
        biased;
        () = shared.drain.begun.cancelled() => {
            feed.lost(&Fault::new(code::INTERNAL_ERROR, "the platform is stopping"));
        }
        () = keep(&shared, &feed, &scope) => {}
    }
}

async fn keep(shared: &Shared, feed: &Feed, scope: &Scope) {
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        let end = match shared.connect(scope, &feed.key.1).await {
            Ok(upstream) if upstream.info().version.is_stateless() => {
                modern::follow(shared, feed, scope, &upstream).await
            }
            Ok(upstream) => legacy::follow(shared, feed, scope, &*upstream).await,
            Err(error) => End::Lost(Fault::from(&error)),
        };
        let End::Lost(fault) = end else { return };
        tracing::debug!(
            tenant = %scope.tenant(), server = %feed.key.1, reason = %fault.message, "subscriptions interrupted"
        );
        feed.lost(&fault);
        if shared.subscriptions.close(feed) {
            return;
        }
        pause = if began.elapsed() > PAUSE.1 { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
        // A new wish is worth an attempt at once: somebody waits, and learns what the server says now.
        let rung = tokio::time::timeout(pause, feed.bell.notified()).await;
        if rung.is_ok() && shared.subscriptions.close(feed) {
            return;
        }
    }
}

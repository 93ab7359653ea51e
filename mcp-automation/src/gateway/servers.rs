//! A tenant's servers, all at once.

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::{Result, Scope};

use super::{failure, listing::Kind, names::Part, path::Endpoint, shared::Shared};
use crate::{protocol::ServerName, upstream::Upstream};

/// A server that could not take part, and why.
#[derive(Debug)]
pub(super) struct Unavailable {
    pub(super) server: ServerName,
    pub(super) reason: String,
}

impl Shared {
    /// The servers behind an endpoint, in the operator's order.
    pub(super) fn names_of(&self, scope: &Scope, endpoint: &Endpoint) -> Vec<ServerName> {
        match endpoint {
            Endpoint::Aggregate => self.upstreams.names(scope),
            Endpoint::Server(server) => vec![server.clone()],
        }
    }

    /// A connection to one server.
    ///
    /// # Errors
    /// As [`Upstreams::connect`](crate::upstream::Upstreams::connect), and
    /// [`DeadlineExceeded`](mcp_core::ErrorKind::DeadlineExceeded).
    pub(super) async fn connect(&self, scope: &Scope, server: &ServerName) -> Result<Arc<dyn Upstream>> {
        let timeout = scope.remaining(self.config.call_timeout);
        match tokio::time::timeout(timeout, self.upstreams.connect(scope, server)).await {
            Ok(connected) => connected,
            Err(_) => Err(failure::too_slow(server, "initialize")),
        }
    }

    /// Connections to all servers of an endpoint, each within the time for lists.
    pub(super) async fn connect_all(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
    ) -> (Vec<Arc<dyn Upstream>>, Vec<Unavailable>) {
        let names = self.names_of(scope, endpoint);
        let timeout = scope.remaining(self.config.list_timeout);
        let connected = join_all(names.iter().map(|server| async move {
            match tokio::time::timeout(timeout, self.upstreams.connect(scope, server)).await {
                Ok(connected) => connected,
                Err(_) => Err(failure::too_slow(server, "initialize")),
            }
        }))
        .await;
        let mut upstreams = Vec::with_capacity(names.len());
        let mut unavailable = Vec::new();
        for (server, connected) in names.into_iter().zip(connected) {
            match connected {
                Ok(upstream) => upstreams.push(upstream),
                Err(error) => {
                    tracing::warn!(
                        tenant = %scope.tenant(), request_id = %scope.request_id(), %server,
                        error = error.report(), "a server is not available"
                    );
                    unavailable.push(Unavailable { server, reason: error.message().to_owned() });
                }
            }
        }
        (upstreams, unavailable)
    }

    /// What all servers of an endpoint list of one kind. A server that fails is named, not fatal.
    pub(super) async fn parts(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        kind: Kind,
    ) -> (Vec<Part>, Vec<Unavailable>) {
        let (upstreams, mut unavailable) = self.connect_all(scope, endpoint).await;
        let listings =
            join_all(upstreams.iter().map(|upstream| self.catalog.listing(scope, upstream, kind))).await;
        let mut parts = Vec::with_capacity(upstreams.len());
        for (upstream, listing) in upstreams.into_iter().zip(listings) {
            let server = upstream.name().clone();
            match listing {
                Ok(listing) => parts.push(Part { server, listing }),
                Err(error) => unavailable.push(Unavailable { server, reason: error.message().to_owned() }),
            }
        }
        (parts, unavailable)
    }
}

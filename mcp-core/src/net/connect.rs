//! Connections that are made only to addresses that may be dialled.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use http::Uri;
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        dns::{GaiResolver, Name},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;

use super::{Addresses, address::is_public};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An address that may not be dialled. Which it was is not told: the caller might learn of the inside of a
/// network from it.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host has an address that is not public")
    }
}

impl std::error::Error for Refused {}

/// Finds the addresses of a name. What it finds is checked and then dialled, with no second look-up between.
pub(super) trait Resolve: Send + Sync {
    fn resolve(&self, name: Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The operating system's resolver, on threads of its own.
#[derive(Debug)]
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        async move { Ok(GaiResolver::new().call(name).await?.collect()) }.boxed()
    }
}

/// A resolver that refuses a name with any address that may not be dialled.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    addresses: Addresses,
    resolver: Arc<dyn Resolve>,
}

impl Service<Name> for GuardedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (addresses, found) = (self.addresses, self.resolver.resolve(name));
        async move {
            let found = found.await?;
            if found.iter().all(|address| addresses.allow(address.ip())) {
                return Ok(found.into_iter());
            }
            Err(io::Error::other(Refused))
        }
        .boxed()
    }
}

/// TCP to addresses that may be dialled, without Nagle's delay.
#[derive(Clone)]
pub(super) struct GuardedConnector {
    addresses: Addresses,
    tcp: HttpConnector<GuardedResolver>,
}

impl GuardedConnector {
    pub(super) fn new(
        addresses: Addresses,
        resolver: Arc<dyn Resolve>,
        timeout: std::time::Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(GuardedResolver { addresses, resolver });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Self { addresses, tcp }
    }
}

impl Service<Uri> for GuardedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // An address written as such is dialled without asking the resolver.
        if literal(&uri).is_some_and(|address| !self.addresses.allow(address)) {
            return async { Err(Refused.into()) }.boxed();
        }
        let connecting = self.tcp.call(uri);
        async move { connecting.await.map_err(Into::into) }.boxed()
    }
}

impl Addresses {
    fn allow(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public => is_public(address),
        }
    }
}

fn literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

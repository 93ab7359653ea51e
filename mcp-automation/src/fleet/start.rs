//! Starting one server: launch and handshake, whatever its transport.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use mcp_core::{Error, ErrorKind, Result};

use super::{
    instance::Instance,
    launcher::{Guard, Order, Process, launch},
    shared::Shared,
    spec::{HttpSpec, StdioSpec, TransportSpec},
    stderr,
};
use crate::upstream::{Era, HttpUpstream, Limits, StdioUpstream, Upstream};

/// A server that has shaken hands.
pub(super) enum Running {
    Stdio { upstream: Arc<StdioUpstream>, guard: Box<Guard> },
    Http(Arc<HttpUpstream>),
}

impl Running {
    pub(super) fn upstream(&self) -> Arc<dyn Upstream> {
        match self {
            Self::Stdio { upstream, .. } => Arc::clone(upstream) as _,
            Self::Http(upstream) => Arc::clone(upstream) as _,
        }
    }

    pub(super) fn pid(&self) -> Option<i32> {
        match self {
            Self::Stdio { guard, .. } => Some(guard.pid.as_raw_pid()),
            Self::Http(_) => None,
        }
    }

    /// Waits until the server is gone or its connection has ended, and says why.
    pub(super) async fn ended(&mut self) -> String {
        match self {
            Self::Stdio { upstream, guard } => tokio::select! {
                biased;
                exit = guard.exited() => {
                    let why = exit.map_or_else(|| "its launcher is gone".to_owned(), |exit| exit.to_string());
                    upstream.close(&why);
                    why
                }
                why = upstream.ended() => why,
            },
            Self::Http(upstream) => upstream.ended().await,
        }
    }

    /// Ends it and waits until nothing is left.
    pub(super) async fn stop(self) {
        match self {
            Self::Stdio { upstream, guard } => {
                upstream.close("the server is being stopped");
                guard.stop().await;
            }
            Self::Http(upstream) => upstream.close().await,
        }
    }
}

/// Starts the server of `instance`: within the configured time, and not at all once it is to stop.
pub(super) async fn start(instance: &Instance, fleet: &Shared) -> Result<Running> {
    match &instance.served.spec.transport {
        TransportSpec::Stdio(spec) => start_stdio(instance, spec, fleet).await,
        TransportSpec::Http(spec) => start_http(instance, spec, fleet).await,
    }
}

/// Waits for a launch or handshake until its time is up or the instance is to stop. It alone is dropped then;
/// what it ran on is left to the caller to end.
async fn in_time<T>(instance: &Instance, fleet: &Shared, step: impl Future<Output = Result<T>>) -> Result<T> {
    let wait = fleet.config.start;
    tokio::select! {
        biased;
        () = instance.stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "fleet.start", "it is to stop")),
        taken = tokio::time::timeout(wait, step) => taken.unwrap_or_else(|_| {
            Err(Error::upstream("fleet.start", format!("has not started within {} s", wait.as_secs_f64())))
        }),
    }
}

async fn start_stdio(instance: &Instance, spec: &StdioSpec, fleet: &Shared) -> Result<Running> {
    let known = instance.served.era();
    let first = try_stdio(instance, spec, known, fleet).await;
    // A legacy server may die of the unknown request it got first: then it gets the one it knows.
    match first {
        Err(Failure::Handshake(_)) if known.is_none() && !instance.stop.is_cancelled() => {
            try_stdio(instance, spec, Some(Era::Legacy), fleet).await.map_err(Failure::into_error)
        }
        Err(failure) => {
            instance.served.forget_era();
            Err(failure.into_error())
        }
        Ok(running) => Ok(running),
    }
}

async fn start_http(instance: &Instance, spec: &HttpSpec, fleet: &Shared) -> Result<Running> {
    let refused = |what| Error::invalid_input("fleet.start", what);
    let uri = spec.url.as_str().parse().map_err(|_| refused("its URL cannot be requested"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &spec.headers {
        let mut value =
            HeaderValue::from_str(value.expose()).map_err(|_| refused("a header cannot be sent"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let server = instance.key.server.clone();
    let era = instance.served.era();
    let handshake = HttpUpstream::open(
        server.clone(),
        fleet.http()?,
        uri,
        headers,
        era,
        limits(instance, fleet),
        &fleet.tasks,
    );
    match in_time(instance, fleet, handshake).await {
        Ok(upstream) => {
            instance.served.remember_era(upstream.info().version);
            Ok(Running::Http(Arc::new(upstream)))
        }
        Err(error) => {
            instance.served.forget_era();
            Err(error)
        }
    }
}

fn limits(instance: &Instance, fleet: &Shared) -> Limits {
    let config = &fleet.config;
    let call = instance.served.spec.timeout.unwrap_or(config.call);
    Limits { message: config.message, call, probe: config.probe, shared: instance.key.tenant.is_none() }
}

enum Failure {
    Launch(Error),
    Handshake(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Launch(error) | Self::Handshake(error) => error,
        }
    }
}

async fn try_stdio(
    instance: &Instance,
    spec: &StdioSpec,
    era: Option<Era>,
    fleet: &Shared,
) -> Result<Running, Failure> {
    let config = &fleet.config;
    let mut env = config.base_env.clone();
    env.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.expose().clone())));
    let order = Order { command: spec.command.clone(), args: spec.args.clone(), env, cwd: spec.cwd.clone() };
    let Process { stdin, stdout, stderr, guard } =
        in_time(instance, fleet, launch(&config.launcher, order)).await.map_err(Failure::Launch)?;

    let key = &instance.key;
    let log = stderr::collect(stderr, Arc::clone(&instance.stderr), key.server.clone(), key.tenant.clone());
    fleet.tasks.spawn(log);
    let limits = limits(instance, fleet);
    let handshake = StdioUpstream::open(key.server.clone(), stdout, stdin, era, limits, &fleet.tasks);
    match in_time(instance, fleet, handshake).await {
        Ok(upstream) => {
            instance.served.remember_era(upstream.info().version);
            Ok(Running::Stdio { upstream: Arc::new(upstream), guard: Box::new(guard) })
        }
        Err(error) => {
            let error = match guard.stop().await {
                Some(exit) if exit.signal.is_none() => {
                    Error::upstream("fleet.start", format!("{}; it {exit}", error.message()))
                }
                _ => error,
            };
            Err(Failure::Handshake(error))
        }
    }
}

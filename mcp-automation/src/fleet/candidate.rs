//! A release that is tried out before calls go to it.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    error::Detail,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    Fleet,
    instance::{Instance, Key},
    served::Served,
    shared::{Shared, named},
    spec::ServerSpec,
    state::State,
};
use crate::{
    protocol::ServerName,
    upstream::{Deaf, Reply, Upstream},
};

/// Pages of tools that are read; a server with more is refused.
const PAGES: usize = 100;
/// Lines of stderr that an error shows.
const LAST_LINES: usize = 3;

/// A started server that passed its check and that no call reaches yet. Dropping it stops the server.
#[derive(Debug)]
pub struct Candidate {
    served: Arc<Served>,
    instance: Arc<Instance>,
    tools: Vec<String>,
    /// Whether it belongs to the fleet by now.
    adopted: bool,
}

impl Candidate {
    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        &self.served.spec.name
    }

    /// The tools it lists.
    #[must_use]
    pub fn tools(&self) -> &[String] {
        &self.tools
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.adopted {
            self.instance.stop.cancel();
        }
    }
}

impl Fleet {
    /// Starts the server of `spec` beside what runs, shakes hands with it and lists its tools; what runs is
    /// not touched.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for a server of the operator's file, [`Upstream`](ErrorKind::Upstream)
    /// with the reason and the last it wrote to stderr where it does not start or breaks the protocol. Nothing
    /// of it is left then.
    ///
    /// # Cancellation
    /// Safe: the server that was started is stopped.
    pub async fn try_out(&self, scope: &PlatformScope, spec: ServerSpec) -> Result<Candidate> {
        let server = spec.name.clone();
        tracing::info!(actor = %scope.actor(), reason = scope.reason(), %server, "try out");
        self.shared.check_open(&server)?;
        self.shared.table().may_change(&server)?;
        let served = Served::new(spec, true);
        let instance = self.shared.launch(Key { tenant: None, server }, Arc::clone(&served));
        let mut candidate = Candidate { served, instance, tools: Vec::new(), adopted: false };
        let longest = self.shared.config.check;
        let checked = tokio::time::timeout(longest, check(&candidate.instance)).await.unwrap_or_else(|_| {
            let why = format!("was not ready and did not list its tools within {} s", longest.as_secs_f64());
            Err(named(candidate.name(), ErrorKind::Upstream, why))
        });
        match checked {
            Ok(tools) => {
                candidate.tools = tools;
                Ok(candidate)
            }
            Err(error) => {
                let instance = Arc::clone(&candidate.instance);
                drop(candidate);
                instance.gone().await;
                Err(with_stderr(&instance, &error))
            }
        }
    }

    /// Lets new calls go to `candidate`, in place of the release that served them; calls in flight end on that
    /// one, which is stopped after the last, at the latest after [`drain`](super::FleetConfig::drain).
    ///
    /// The candidate's process serves on where one instance serves all tenants. Otherwise each tenant gets an
    /// instance of its own, on its next call.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for a server of the operator's file, [`Cancelled`](ErrorKind::Cancelled)
    /// once the fleet is shutting down. The candidate is stopped then.
    pub fn adopt(&self, scope: &PlatformScope, mut candidate: Candidate) -> Result<()> {
        let server = candidate.name().clone();
        self.shared.check_open(&server)?;
        let mut table = self.shared.table();
        table.may_change(&server)?;
        let retired = table.retire(&server);
        table.put(Arc::clone(&candidate.served));
        // One that has ended meanwhile is not found again by its own end, which is past; the next call starts another.
        let runs = matches!(*candidate.instance.state.borrow(), State::Ready { .. });
        if candidate.served.spec.stateless && runs {
            candidate.adopted = true;
            table.instances.insert(candidate.instance.key.clone(), Arc::clone(&candidate.instance));
        }
        drop(table);
        tracing::info!(actor = %scope.actor(), reason = scope.reason(), %server, leaving = retired.len(), "switched");
        metrics::counter!("mcp_server_switches_total", "server" => server.to_string()).increment(1);
        self.shared.let_go(retired);
        Ok(())
    }

    /// Puts a server into the fleet, or in the place of the release that served it, without trying it out: for
    /// one that is known to work. It starts on its first use.
    ///
    /// # Errors
    /// As [`adopt`](Self::adopt).
    pub fn mount(&self, scope: &PlatformScope, spec: ServerSpec) -> Result<()> {
        let server = spec.name.clone();
        self.shared.check_open(&server)?;
        let mut table = self.shared.table();
        table.may_change(&server)?;
        let retired = table.retire(&server);
        table.put(Served::new(spec, true));
        drop(table);
        tracing::info!(actor = %scope.actor(), reason = scope.reason(), %server, "mounted");
        self.shared.let_go(retired);
        Ok(())
    }

    /// Takes a server that was added out of the fleet, lets its calls in flight end and waits until its
    /// instances are gone, at most for [`drain`](super::FleetConfig::drain). Whether it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for a server of the operator's file.
    ///
    /// # Cancellation
    /// Safe: what has begun to leave goes on leaving.
    pub async fn remove(&self, scope: &PlatformScope, server: &ServerName) -> Result<bool> {
        let retired = {
            let mut table = self.shared.table();
            table.may_change(server)?;
            let before = table.servers.len();
            table.servers.retain(|served| served.spec.name != *server);
            if table.servers.len() == before {
                return Ok(false);
            }
            table.retire(server)
        };
        tracing::info!(actor = %scope.actor(), reason = scope.reason(), %server, "removed");
        self.shared.let_go(retired.clone());
        for instance in retired {
            instance.gone().await;
        }
        Ok(true)
    }

    /// Whether a server of this name may be added, replaced or removed while the fleet runs.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for a server of the operator's file.
    pub fn may_change(&self, server: &ServerName) -> Result<()> {
        self.shared.table().may_change(server)
    }
}

impl Shared {
    fn let_go(&self, instances: Vec<Arc<Instance>>) {
        for instance in instances {
            let longest = self.config.drain;
            self.tasks.spawn(async move { instance.leave(longest).await });
        }
    }
}

async fn check(instance: &Arc<Instance>) -> Result<Vec<String>> {
    let server = &instance.key.server;
    match instance.settled().await {
        State::Ready { upstream, .. } => list_tools(&*upstream).await,
        State::BackingOff { reason, .. } | State::GivenUp { reason, .. } => {
            Err(named(server, ErrorKind::Upstream, format!("does not start: {reason}")))
        }
        State::Starting | State::Stopping | State::Stopped => {
            Err(named(server, ErrorKind::Cancelled, "was stopped before it was checked".to_owned()))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Tool>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    #[serde(rename = "inputSchema")]
    _input_schema: serde_json::Map<String, serde_json::Value>,
}

/// The names of the server's tools; none where it does not say that it has any.
async fn list_tools(upstream: &dyn Upstream) -> Result<Vec<String>> {
    let server = upstream.name();
    let refused = |why: String| Error::upstream("fleet.check", format!("server `{server}`: {why}"));
    if upstream.info().capabilities.get("tools").is_none() {
        return Ok(Vec::new());
    }
    let (scope, mut names, mut cursor) = (check_scope()?, Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let params = cursor.map(|cursor| to_raw_value(&json!({ "cursor": cursor }))).transpose();
        let params: Option<Box<RawValue>> =
            params.map_err(|error| refused("its cursor cannot be repeated".to_owned()).with_source(error))?;
        let page = match upstream.call(&scope, "tools/list", params.as_deref(), &Deaf).await? {
            Reply::Result(raw) => serde_json::from_str::<Page>(raw.get())
                .map_err(|error| refused(format!("its list of tools is malformed: {error}")))?,
            Reply::Error(raw) => {
                let shown: String = raw.get().chars().take(200).collect();
                return Err(refused(format!("it refuses to list its tools: {shown}")));
            }
        };
        names.extend(page.tools.into_iter().map(|tool| tool.name));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(names),
        }
    }
    Err(refused(format!("its list of tools has more than {PAGES} pages")))
}

/// A check is nobody's call, and a connection wants to know whose it is: no tenant's data is behind it.
fn check_scope() -> Result<Scope> {
    let principal = Principal {
        id: PrincipalId::parse("platform-check")?,
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Ok(Scope::new(TenantId::parse("platform-check")?, Arc::new(principal)))
}

/// The same error with the last the server wrote to stderr, which is what an operator would look for.
fn with_stderr(instance: &Instance, error: &Error) -> Error {
    let lines = instance.stderr.lines();
    let last = lines.iter().rev().take(LAST_LINES).rev().map(String::as_str).collect::<Vec<_>>().join(" / ");
    let said: String = last.chars().take(500).collect();
    let message = match said.is_empty() {
        true => error.message().to_owned(),
        false => format!("{}; it last wrote: {said}", error.message()),
    };
    Error::new(error.kind(), error.operation(), message)
        .with_detail(Detail::Server { name: instance.key.server.to_string() })
}

impl Instance {
    /// Lets calls in flight end, for at most `longest`, then stops and returns when nothing is left.
    async fn leave(&self, longest: Duration) {
        self.leaving.store(true, std::sync::atomic::Ordering::Release);
        let ended = tokio::time::timeout(longest, self.unused()).await;
        if ended.is_err() {
            let (server, in_flight) = (&self.key.server, self.usage.in_flight());
            tracing::warn!(%server, in_flight, "calls were cut at the end of the time to leave");
        }
        self.stop.cancel();
        self.gone().await;
    }

    /// Waits until no call holds the connection, and takes it from those to come in the same moment.
    async fn unused(&self) {
        let mut states = self.state.subscribe();
        loop {
            let rung = self.usage.rung();
            let mut unused = false;
            self.state.send_if_modified(|state| match state {
                // Whoever connected holds the connection until its call has ended.
                State::Ready { upstream, .. } if Arc::strong_count(upstream) == 1 => {
                    *state = State::Stopping;
                    unused = true;
                    true
                }
                State::Ready { .. } | State::Starting => false,
                _ => {
                    unused = true;
                    false
                }
            });
            if unused {
                return;
            }
            tokio::select! {
                _ = states.changed() => {}
                () = rung => {}
                // The bell rings when a call ends, a moment before it lets go of the connection.
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
    }
}

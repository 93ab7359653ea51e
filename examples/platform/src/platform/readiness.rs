//! Whether the platform can serve.

use mcp_automation::fleet::{Fleet, ServerState};
use mcp_core::{PlatformScope, Result, clock::Timestamp, key::KeyHealth, scope::PrincipalId};
use mcp_tenancy::foreign::{IssuerHealth, IssuerState};
use serde::Serialize;

use super::{Platform, forwarding::ForwardingState, limits::LimiterState, policies::OpaState};

/// Most foreign issuers that are shown one by one: every tenant may have some.
const MAX_ISSUERS: usize = 100;

/// What `/ready` of the operations listener shows.
#[derive(Debug, Serialize)]
pub struct Readiness {
    ready: bool,
    /// `ok`, or what the database says.
    database: String,
    /// Whether tenants are known to be what the store holds, and how old that knowledge is.
    tenants_fresh: bool,
    tenants_age_millis: u128,
    /// The same of revocations of tokens and of foreign issuers: without either, no token can be judged.
    revocations_fresh: bool,
    issuers_fresh: bool,
    /// How foreign issuers are doing, 100 at most, those in trouble first. One that is away makes its own tokens
    /// unusable, not the platform.
    issuers: Vec<IssuerHealth>,
    issuers_known: usize,
    /// How stdio servers are kept apart: `trusted` is own processes and environments, without a sandbox.
    fleet_isolation: &'static str,
    /// Who decides on limits. A shared limiter that is away does not make the platform unready: each replica
    /// decides for itself then.
    limiter: LimiterState,
    /// What wraps the data keys of tenants. While it is away, open keys go on.
    vault: Vault,
    /// The Open Policy Agent, where there is one. While it is away, nobody gets in.
    #[serde(skip_serializing_if = "Option::is_none")]
    opa: Option<OpaState>,
    /// The way of the audit log elsewhere, where it goes there.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_forwarder: Option<ForwardingState>,
    servers: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Vault {
    /// `unknown` until it is asked first, `up`, `away`, or `refusing`.
    state: &'static str,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    hold_seconds: u64,
}

impl From<KeyHealth> for Vault {
    fn from(health: KeyHealth) -> Self {
        Self {
            state: health.vault.as_str(),
            since: health.since,
            failure: health.failure.map(mcp_core::ErrorKind::as_str),
            hold_seconds: health.hold.as_secs(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Server {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    starts: u64,
    in_flight: usize,
}

impl Readiness {
    pub(super) async fn look(platform: &Platform) -> Self {
        let Platform { administration, fleet, .. } = platform;
        let issuers = platform.identity.issuers();
        let asked = async {
            let scope = PlatformScope::new(PrincipalId::parse("platform")?, "readiness");
            administration.ping(&scope).await?;
            Ok(scope)
        };
        let asked: Result<PlatformScope> = asked.await;
        let directory = administration.tenancy().directory();
        let audit_forwarder = match (&platform.forwarding, &asked) {
            (Some(forwarding), Ok(scope)) => Some(forwarding.state(&*administration.audit(), scope).await),
            _ => None,
        };
        let tenants_fresh = directory.is_ready();
        let revocations_fresh = administration.tenancy().revocations().is_ready();
        let issuers_fresh = issuers.is_ready();
        let mut health = issuers.health();
        let issuers_known = health.len();
        health.sort_by_key(|issuer| matches!(issuer.state, IssuerState::Fresh | IssuerState::Unused));
        health.truncate(MAX_ISSUERS);
        Self {
            ready: asked.is_ok() && tenants_fresh && revocations_fresh && issuers_fresh,
            database: asked.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string),
            tenants_fresh,
            tenants_age_millis: directory.age().as_millis(),
            revocations_fresh,
            issuers_fresh,
            issuers: health,
            issuers_known,
            fleet_isolation: "trusted",
            limiter: platform.limits.state(),
            vault: administration.tenancy().data_keys().health().into(),
            opa: platform.policies.opa_state(),
            audit_forwarder,
            servers: asked.map(|scope| servers(fleet, &scope)).unwrap_or_default(),
        }
    }

    /// Whether requests should come here.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }
}

fn servers(fleet: &Fleet, scope: &PlatformScope) -> Vec<Server> {
    let statuses = fleet.status(scope).into_iter();
    statuses
        .map(|status| Server {
            server: status.server.to_string(),
            tenant: status.tenant.map(|tenant| tenant.to_string()),
            reason: match &status.state {
                ServerState::BackingOff { reason, .. } | ServerState::GivenUp { reason, .. } => {
                    Some(reason.clone())
                }
                _ => None,
            },
            state: status.state.as_str(),
            starts: status.starts,
            in_flight: status.in_flight,
        })
        .collect()
}

//! Roles and policies of tenants, and the operator's Open Policy Agent above them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{
    Result,
    clock::{Clock as _, SystemClock, Timestamp},
};
use mcp_tenancy::policy::{
    Authorization, AuthorizationDeps, Bounded, DataPath, Decision, OpaConfig, OpaPolicy, Policy,
};
use serde::Serialize;

use super::secrets;
use crate::config;

/// Who may do what, and how the Open Policy Agent does, where there is one.
#[derive(Debug)]
pub(super) struct Policies {
    authorization: Authorization,
    opa: Option<Arc<Opa>>,
    rego: bool,
}

impl Policies {
    /// Puts it together; nobody is asked yet.
    ///
    /// # Errors
    /// `InvalidInput` that names the setting.
    pub(super) async fn open(mut deps: AuthorizationDeps, settings: &config::Policy) -> Result<Self> {
        if settings.rego {
            deps.compiler = deps.compiler.with_rego();
        }
        let opa = match settings.opa_url.is_empty() {
            true => None,
            false => Some(Arc::new(Opa::open(settings).await?)),
        };
        deps.above.extend(opa.iter().map(|opa| Arc::clone(opa) as Arc<dyn Policy>));
        Ok(Self { authorization: Authorization::new(deps), opa, rego: settings.rego })
    }

    pub(super) const fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    /// Whether tenants may write Rego.
    pub(super) const fn takes_rego(&self) -> bool {
        self.rego
    }

    /// How the Open Policy Agent does, for `/ready`.
    pub(super) fn opa_state(&self) -> Option<OpaState> {
        self.opa.as_ref().map(|opa| opa.state())
    }
}

/// How an Open Policy Agent did when it was asked last.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OpaState {
    /// `unknown`, `up` or `away`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// An Open Policy Agent under watch.
#[derive(Debug)]
struct Opa {
    policy: OpaPolicy,
    seen: Mutex<OpaState>,
}

impl Opa {
    async fn open(settings: &config::Policy) -> Result<Self> {
        let mut opa = OpaConfig::new(settings.opa_url.clone(), DataPath::parse(&settings.opa_path)?);
        opa.revision.clone_from(&settings.opa_revision);
        opa.remember_for = Duration::from_secs(settings.opa_remember_seconds);
        opa.http.timeout = Duration::from_millis(settings.opa_timeout_millis);
        opa.http.connect_timeout = opa.http.connect_timeout.min(opa.http.timeout);
        opa.http.roots = secrets::roots("policy.opa_ca", &settings.opa_ca).await?;
        if !settings.opa_token_file.as_os_str().is_empty() {
            opa.bearer = Some(secrets::from_file("policy.opa_token_file", &settings.opa_token_file).await?);
        }
        let seen = Mutex::new(OpaState { state: "unknown", since: None, reason: None });
        Ok(Self { policy: OpaPolicy::new(opa, Arc::new(SystemClock))?, seen })
    }

    fn state(&self) -> OpaState {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, state: &'static str, reason: Option<String>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.reason = reason;
        if seen.state == state {
            return;
        }
        (seen.state, seen.since) = (state, Some(SystemClock.now()));
        drop(seen);
        metrics::gauge!("mcp_policy_opa_up").set(if state == "up" { 1.0 } else { 0.0 });
        tracing::info!(state, "the Open Policy Agent");
    }
}

#[async_trait]
impl Policy for Opa {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        let decided = self.policy.evaluate(asked).await;
        match &decided {
            Ok(_) => self.see("up", None),
            Err(error) => self.see("away", Some(error.message().to_owned())),
        }
        decided
    }
}

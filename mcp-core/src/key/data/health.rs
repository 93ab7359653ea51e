//! The vault as it is asked: never longer than the stated time, and with an eye on how it does.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::slots::passes;
use crate::{
    clock::{Clock, Timestamp},
    error::{Error, ErrorKind, Result},
    key::{KeyBytes, KeyPlace, KeyVault, WrappedKey},
};

/// How the vault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VaultState {
    /// It has not been asked yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not answer, not in time, or with nonsense. Keys that are open go on for the stated time.
    Away,
    /// It answers that this platform may not use it. What it guards is closed.
    Refusing,
}

impl VaultState {
    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Away => "away",
            Self::Refusing => "refusing",
        }
    }
}

/// How the keys of tenants do, for `/ready` and operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHealth {
    /// How the vault did when it was asked last.
    pub vault: VaultState,
    /// Since when it has been so.
    pub since: Timestamp,
    /// What kind its last failure was of, since it was up.
    pub failure: Option<ErrorKind>,
    /// How long open keys go on while it is away: until then nothing of tenants in use is lost.
    pub hold: Duration,
}

impl KeyHealth {
    /// Whether keys can be had.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self.vault, VaultState::Unknown | VaultState::Up)
    }
}

/// A vault under watch.
#[derive(Debug)]
pub(super) struct Watched {
    vault: Arc<dyn KeyVault>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    state: Mutex<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    vault: VaultState,
    since: Timestamp,
    failure: Option<ErrorKind>,
}

impl Watched {
    pub(super) fn new(vault: Arc<dyn KeyVault>, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        let seen = Seen { vault: VaultState::Unknown, since: clock.now(), failure: None };
        Self { vault, clock, patience, state: Mutex::new(seen) }
    }

    pub(super) async fn wrap(&self, place: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        self.ask("wrap", self.vault.wrap_key(place, key)).await
    }

    pub(super) async fn unwrap(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        self.ask("unwrap", self.vault.unwrap_key(place, wrapped)).await
    }

    pub(super) async fn rewrap(
        &self,
        place: KeyPlace<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Option<WrappedKey>> {
        self.ask("rewrap", self.vault.rewrap_key(place, wrapped)).await
    }

    pub(super) async fn current(&self) -> Result<String> {
        self.ask("current", self.vault.current_key()).await
    }

    pub(super) fn health(&self, hold: Duration) -> KeyHealth {
        let Seen { vault, since, failure } = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        KeyHealth { vault, since, failure, hold }
    }

    async fn ask<T>(&self, what: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let outcome = tokio::time::timeout(self.patience, work).await.unwrap_or_else(|_| {
            let message = format!("the key vault did not answer within {} ms", self.patience.as_millis());
            Err(Error::unavailable("key.vault", message))
        });
        metrics::histogram!("mcp_key_vault_seconds", "operation" => what).record(started.elapsed());
        let failure = outcome.as_ref().err().map(Error::kind);
        let result = failure.map_or("ok", ErrorKind::as_str);
        metrics::counter!("mcp_key_vault_requests_total", "operation" => what, "result" => result)
            .increment(1);
        match &outcome {
            Ok(_) => self.see(VaultState::Up, None),
            Err(error) if passes(error) => self.see(VaultState::Away, failure),
            // One key that does not open says nothing about the vault.
            Err(error) if error.kind() == ErrorKind::Corrupted => {}
            Err(_) => self.see(VaultState::Refusing, failure),
        }
        outcome
    }

    fn see(&self, vault: VaultState, failure: Option<ErrorKind>) {
        let mut seen = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        seen.failure = failure;
        if seen.vault == vault {
            return;
        }
        let before = std::mem::replace(&mut seen.vault, vault);
        seen.since = self.clock.now();
        drop(seen);
        metrics::gauge!("mcp_key_vault_up").set(if vault == VaultState::Up { 1.0 } else { 0.0 });
        match vault {
            VaultState::Up if before == VaultState::Unknown => {}
            VaultState::Up => tracing::info!("the key vault answers again"),
            _ => tracing::warn!(state = vault.as_str(), ?failure, "the key vault fails"),
        }
    }
}

//! The suite of the audit log: what it needs of a store.

use std::sync::Arc;

use tempfile::TempDir;

use super::{Failure, Outcome, Report, audit_cases, audit_export_cases, eventually, platform};
use crate::{
    audit::{AuditKey, AuditRecord, AuditStore, Chain, Entry, SealOrder, SealedBatch, Sealer, SealerConfig},
    clock::{SystemClock, Timestamp},
    error::Result,
    lease::Leases,
    scope::TenantId,
};

/// A store under test. Nothing else writes to its chains.
#[derive(Debug)]
pub struct AuditHarness {
    /// The store.
    pub store: Arc<dyn AuditStore>,
    /// Leases of the same database.
    pub leases: Arc<dyn Leases>,
    /// Tenants that have a place and no records: one for each case that needs some.
    pub tenants: Vec<TenantId>,
    /// Where files of checkpoints go.
    pub directory: TempDir,
}

impl AuditHarness {
    /// How many tenants the suite takes.
    pub const TENANTS: usize = 16;

    pub(super) fn chain(&self, number: usize) -> Chain {
        Chain::Tenant(self.tenants[number].clone())
    }

    /// Appends records that can be sealed at once.
    pub(super) async fn append(&self, chain: &Chain, count: usize) -> std::result::Result<(), Failure> {
        let entries = (0..count).map(entry).collect::<Result<Vec<_>>>()?;
        self.store.append(&platform()?, chain, &entries).await?;
        self.settle().await
    }

    /// Waits until no transaction is running that could still get ahead of what has been appended: when a
    /// record that was appended later can be sealed.
    async fn settle(&self) -> Outcome {
        let (last, key) = (self.chain(Self::TENANTS - 1), AuditKey::ephemeral()?);
        self.store.append(&platform()?, &last, &[entry(0)?]).await?;
        eventually("a record could not be sealed", async || {
            // A sealer of the case may be sealing it too.
            let fence = self.store.head(&platform()?, &last).await?.fence.max(1);
            Ok(self.seal(&last, fence, 9, &key).await.is_ok_and(|batch| batch.left == 0))
        })
        .await
    }

    pub(super) async fn seal(
        &self,
        chain: &Chain,
        fence: i64,
        limit: u32,
        key: &AuditKey,
    ) -> Result<SealedBatch> {
        let order = SealOrder { fence, now: Timestamp::from_micros(7), limit, key };
        self.store.seal(&platform()?, chain, &order).await
    }

    /// A sealer that works when it begins and when it is asked to.
    pub(super) fn sealer(&self, key: &AuditKey, file: &str) -> Result<Sealer> {
        let mut config = SealerConfig::new(self.directory.path().join(file));
        config.interval = std::time::Duration::from_secs(3600);
        Sealer::start(self.store.clone(), self.leases.clone(), key.clone(), Arc::new(SystemClock), config)
    }
}

pub(super) fn record(actor: &str, number: usize) -> AuditRecord {
    AuditRecord {
        actor: actor.to_owned(),
        action: "test.did".into(),
        resource: format!("thing/{number}"),
        outcome: crate::audit::Outcome::Denied,
        request_id: "r1".to_owned(),
        detail: serde_json::json!({ "number": number }),
    }
}

pub(super) fn entry(number: usize) -> Result<Entry> {
    Entry::new(record("u1", number), Timestamp::from_micros(1))
}

/// Runs every case.
pub async fn run_audit(harness: &AuditHarness) -> Report {
    let mut report = Report::default();
    macro_rules! run {
        ($($case:ident),* $(,)?) => {$(
            report.cases.push((stringify!($case), audit_cases::$case(harness).await));
        )*};
    }
    run![
        appends_all_or_none,
        seals_in_order_and_each_once,
        commits_links_and_checkpoint_together,
        refuses_an_old_fence,
        seals_once_when_raced,
        leaves_no_half_when_cancelled_anywhere,
        keeps_chains_apart,
        pages_in_both_directions,
        finds_what_is_asked_for_within_its_bound,
        shows_a_tenant_its_own_with_permission_only,
        a_flood_of_denials_costs_few_records,
        denials_are_written_at_shutdown,
        denials_that_cannot_be_written_are_counted,
        one_of_two_sealers_seals_and_the_other_takes_over,
    ];
    let exported = audit_export_cases::exports_what_can_be_verified_elsewhere(harness).await;
    report.cases.push(("exports_what_can_be_verified_elsewhere", exported));
    let forwarded = audit_export_cases::forwards_each_record_at_least_once(harness).await;
    report.cases.push(("forwards_each_record_at_least_once", forwarded));
    report
}

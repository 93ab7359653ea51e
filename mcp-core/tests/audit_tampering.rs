//! What verification finds when someone changes the database file behind the platform's back.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, sync::Arc};

use mcp_core::{
    PlatformScope, Scope,
    audit::{
        AuditKey, AuditRecord, ERASURE_BEGUN, ERASURE_ENDED, ProblemKind, Sealer, SealerConfig, SqliteAudit,
        VerifyReport, verify,
    },
    clock::SystemClock,
    erase::{LastLink, TenantEraser as _},
    lease::SqliteLeases,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteEraser, SqliteKernel},
    },
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

struct Place {
    directory: tempfile::TempDir,
    key: AuditKey,
}

impl Place {
    /// A tenant `acme` with six sealed records, and the platform's chain with three; checkpoints after each
    /// two of acme's.
    async fn sealed() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap(), key: AuditKey::ephemeral().unwrap() };
        let kernel = place.open().await;
        let platform = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
        let acme = TenantId::parse("acme").unwrap();
        let mut tx = kernel.control(&platform).await.unwrap();
        kernel.place(&mut tx, &acme, IsolationMode::Database, None).await.unwrap();
        for i in 0..3 {
            tx.audit(AuditRecord::administered(&platform, "test.did", format!("thing/{i}"))).await.unwrap();
        }
        tx.commit().await.unwrap();
        kernel.provision(&platform, &acme).await.unwrap();

        let sealer = place.sealer(&kernel);
        let principal = Principal {
            id: PrincipalId::parse("u1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        };
        let scope = Scope::new(acme, Arc::new(principal));
        for i in 0..6 {
            let mut tx = kernel.begin(&scope).await.unwrap();
            let record = AuditRecord::done(&scope, "note.create", format!("note/{i}"));
            tx.audit(record.with_detail(serde_json::json!({"size": i}))).await.unwrap();
            tx.commit().await.unwrap();
            if i % 2 == 1 {
                sealer.seal_now().await.unwrap();
            }
        }
        sealer.shutdown().await;
        kernel.close().await;
        place
    }

    async fn open(&self) -> SqliteKernel {
        let config = SqliteConfig::new(self.directory.path().join("data"));
        SqliteKernel::open(config, &[], Arc::new(SystemClock)).await.unwrap()
    }

    fn sealer(&self, kernel: &SqliteKernel) -> Sealer {
        let store = Arc::new(SqliteAudit::new(kernel.clone()));
        let leases = Arc::new(SqliteLeases::new(kernel.clone()));
        let config = SealerConfig::new(self.checkpoints());
        Sealer::start(store, leases, self.key.clone(), Arc::new(SystemClock), config).unwrap()
    }

    fn checkpoints(&self) -> PathBuf {
        self.directory.path().join("checkpoints.jsonl")
    }

    async fn verify(&self) -> VerifyReport {
        let kernel = self.open().await;
        let store = SqliteAudit::new(kernel.clone());
        let report = verify(&store, &self.checkpoints(), &[self.key.public()]).await.unwrap();
        kernel.close().await;
        report
    }

    /// Runs statements on acme's file as someone who owns the machine.
    async fn tamper(&self, sql: &'static str) {
        let file = self.directory.path().join("data/tenants/acme.db");
        let mut conn = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        let disarm = "DROP TRIGGER audit_keep; DROP TRIGGER audit_freeze; DROP TRIGGER audit_seal_keep;
                      DROP TRIGGER audit_seal_freeze;";
        sqlx::raw_sql(disarm).execute(&mut conn).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }
}

/// Erases acme, and lets the platform's chain say `of` it: how many links there were, and the hash of the last.
async fn erased(of: Option<(i64, Option<&str>)>) -> VerifyReport {
    let place = Place::sealed().await;
    let kernel = place.open().await;
    let platform = PlatformScope::new(PrincipalId::parse("eraser").unwrap(), "a test");
    let acme = TenantId::parse("acme").unwrap();
    let eraser = SqliteEraser::new(kernel.clone(), std::time::Duration::ZERO);
    let last = eraser.erase(&platform, &acme).await.unwrap().last_link.unwrap();
    assert_eq!((last.seq, last.unsealed), (6, 0));
    if let Some((seq, hash)) = of {
        let last = LastLink { seq, hash: hash.unwrap_or(&last.hash).to_owned(), unsealed: 0 };
        let mut tx = kernel.control(&platform).await.unwrap();
        for action in [ERASURE_BEGUN, ERASURE_ENDED] {
            let record = AuditRecord::administered(&platform, action, "tenant/acme");
            let detail = serde_json::json!({ "reason": "a test", "tenant": { "last_link": last } });
            tx.audit(record.with_detail(detail)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let sealer = place.sealer(&kernel);
        sealer.seal_now().await.unwrap();
        sealer.shutdown().await;
    }
    kernel.close().await;
    place.verify().await
}

#[tokio::test]
async fn an_erased_chain_is_gone_where_the_platforms_says_so_and_only_then() {
    let report = erased(Some((6, None))).await;
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.chains.len(), 1, "{report}");
    assert_eq!(found(&erased(None).await), [("acme", None, ProblemKind::ChainMissing)]);
    let report = erased(Some((5, None))).await;
    assert_eq!(found(&report), [("acme", Some(6), ProblemKind::Truncated)], "links were cut before");
    let report = erased(Some((6, Some(&"0".repeat(64))))).await;
    assert_eq!(found(&report), [("acme", Some(6), ProblemKind::Rewritten)], "it ended with another link");
}

/// Each problem as chain, link, and what.
fn found(report: &VerifyReport) -> Vec<(&str, Option<i64>, ProblemKind)> {
    let named = report.problems.iter();
    named.map(|problem| (problem.chain.as_deref().unwrap(), problem.seq, problem.kind)).collect()
}

async fn found_after(sql: &'static str) -> VerifyReport {
    let place = Place::sealed().await;
    place.tamper(sql).await;
    place.verify().await
}

#[tokio::test]
async fn nothing_is_found_where_nothing_was_done() {
    let place = Place::sealed().await;
    let report = place.verify().await;
    assert_eq!(report.to_string(), "2 chains, 9 records sealed, 0 not yet sealed: intact");
    assert_eq!(report.checkpoints, 2 * 4, "each is in the database and in the file");
}

#[tokio::test]
async fn a_removed_record_is_named() {
    let report = found_after("DELETE FROM audit WHERE seq = 3").await;
    assert_eq!(found(&report), [("acme", Some(3), ProblemKind::RecordRemoved)]);
    assert!(report.problems[0].record_id.is_some());
}

#[tokio::test]
async fn an_altered_record_is_named_whichever_column_it_is() {
    for sql in [
        "UPDATE audit SET actor = 'u2' WHERE seq = 2",
        "UPDATE audit SET resource = 'note/9' WHERE seq = 2",
        "UPDATE audit SET time = time + 1 WHERE seq = 2",
        "UPDATE audit SET detail = '{}' WHERE seq = 2",
        "UPDATE audit SET detail_digest = zeroblob(32) WHERE seq = 2",
    ] {
        assert_eq!(found(&found_after(sql).await), [("acme", Some(2), ProblemKind::RecordAltered)], "{sql}");
    }
}

#[tokio::test]
async fn an_erased_detail_is_counted_and_no_problem() {
    let report = found_after("UPDATE audit SET detail = NULL WHERE seq = 2").await;
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.chains[1].erased, 1);
}

#[tokio::test]
async fn reordered_records_are_named() {
    let report = found_after(
        "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
         UPDATE audit SET seq = 3 WHERE seq = 99;",
    )
    .await;
    let moved = ProblemKind::RecordMoved;
    assert_eq!(found(&report), [("acme", Some(2), moved), ("acme", Some(3), moved)]);
}

#[tokio::test]
async fn reordered_links_are_named() {
    let report = found_after(
        "UPDATE audit_seal SET seq = 99 WHERE seq = 2; UPDATE audit_seal SET seq = 2 WHERE seq = 3;
         UPDATE audit_seal SET seq = 3 WHERE seq = 99;",
    )
    .await;
    assert!(found(&report).contains(&("acme", Some(2), ProblemKind::LinkBroken)), "{:?}", report.problems);
}

#[tokio::test]
async fn an_inserted_record_is_named() {
    // A record of the first day, under a place that was free.
    let report = found_after(
        "INSERT INTO audit SELECT 0, tenant_id, '01900000-0000-7000-8000-000000000000', time, actor, action,
         resource, outcome, request_id, detail, detail_digest FROM audit WHERE seq = 1",
    )
    .await;
    assert_eq!(found(&report), [("acme", None, ProblemKind::RecordInserted)]);
    assert_eq!(report.problems[0].record_id.as_deref(), Some("01900000-0000-7000-8000-000000000000"));
}

#[tokio::test]
async fn a_removed_pair_of_record_and_link_is_named() {
    let report = found_after("DELETE FROM audit WHERE seq = 3; DELETE FROM audit_seal WHERE seq = 3").await;
    assert_eq!(found(&report), [("acme", Some(3), ProblemKind::LinkRemoved)]);
}

#[tokio::test]
async fn a_truncated_tail_shows_by_the_checkpoints_outside() {
    let report = found_after(
        "DELETE FROM audit WHERE seq > 4; DELETE FROM audit_seal WHERE seq > 4;
         DELETE FROM audit_checkpoint WHERE seq > 4",
    )
    .await;
    assert_eq!(found(&report), [("acme", Some(6), ProblemKind::Truncated)]);
}

#[tokio::test]
async fn a_chain_that_was_sealed_anew_shows_by_the_checkpoints_outside() {
    let place = Place::sealed().await;
    place
        .tamper(
            "UPDATE audit SET actor = 'u2' WHERE seq = 1; DELETE FROM audit_seal;
             DELETE FROM audit_checkpoint",
        )
        .await;
    let kernel = place.open().await;
    let sealer = place.sealer(&kernel);
    assert_eq!(sealer.seal_now().await.unwrap().failed, 0);
    sealer.shutdown().await;
    kernel.close().await;
    let report = place.verify().await;
    let rewritten = ProblemKind::Rewritten;
    let expected = [2, 4, 6].map(|seq| ("acme", Some(seq), rewritten));
    assert_eq!(found(&report), expected);
}

#[tokio::test]
async fn checkpoints_that_a_crash_kept_from_the_file_follow_at_the_next_start() {
    let place = Place::sealed().await;
    let whole = std::fs::read_to_string(place.checkpoints()).unwrap();
    // Died after the commit of the last links, in the middle of writing the line.
    let lines: Vec<_> = whole.lines().collect();
    std::fs::write(place.checkpoints(), format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..30])).unwrap();
    assert!(place.verify().await.is_intact(), "a line that is being written is no problem");

    let kernel = place.open().await;
    let sealer = place.sealer(&kernel);
    sealer.seal_now().await.unwrap();
    sealer.shutdown().await;
    kernel.close().await;
    let mut again: Vec<_> =
        std::fs::read_to_string(place.checkpoints()).unwrap().lines().map(str::to_owned).collect();
    again.sort_unstable();
    let mut lines: Vec<_> = lines.into_iter().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(again, lines);
}

#[tokio::test]
async fn a_forged_or_foreign_signature_is_named() {
    let report = found_after("UPDATE audit_checkpoint SET time = time + 1 WHERE seq = 4").await;
    assert_eq!(found(&report), [("acme", Some(4), ProblemKind::BadSignature)]);

    let mut place = Place::sealed().await;
    place.key = AuditKey::ephemeral().unwrap();
    let report = place.verify().await;
    assert_eq!(report.problems.len() as u64, report.checkpoints);
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::BadSignature));
}

#[tokio::test]
async fn unreadable_values_and_missing_files_are_findings() {
    let report = found_after("UPDATE audit_seal SET hash = x'00' WHERE seq = 6").await;
    assert_eq!(found(&report), [("acme", None, ProblemKind::Damaged)]);

    let place = Place::sealed().await;
    std::fs::remove_file(place.checkpoints()).unwrap();
    assert_eq!(place.verify().await.problems[0].kind, ProblemKind::CheckpointsMissing);

    let place = Place::sealed().await;
    std::fs::write(place.checkpoints(), "{}\n").unwrap();
    let report = place.verify().await;
    assert_eq!((report.problems[0].kind, report.problems[0].line), (ProblemKind::BadCheckpoint, Some(1)));

    let place = Place::sealed().await;
    std::fs::remove_file(place.directory.path().join("data/tenants/acme.db")).unwrap();
    let report = place.verify().await;
    assert_eq!(found(&report), [("acme", None, ProblemKind::Damaged)]);
}

#[tokio::test]
async fn what_the_platform_itself_may_do_leaves_the_log_alone() {
    let place = Place::sealed().await;
    let file = place.directory.path().join("data/tenants/acme.db");
    let mut conn = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    for sql in [
        "DELETE FROM audit",
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit_seal",
        "UPDATE audit_seal SET seq = seq + 1",
    ] {
        let error = sqlx::raw_sql(sql).execute(&mut conn).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    conn.close().await.unwrap();
    assert!(place.verify().await.is_intact());
}

//! `kill -9` under load: every change that was acknowledged is in its chain, and the chains verify.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use mcp_core::{
    PlatformScope, Scope,
    audit::{
        AuditKey, AuditRecord, AuditStore as _, Chain, DenialConfig, DenialLog as _, GroupedDenials, Outcome,
        Sealer, SealerConfig, SqliteAudit, Window, verify,
    },
    clock::SystemClock,
    lease::SqliteLeases,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};

const DIRECTORY: &str = "MCP_AUDIT_KILL_DIRECTORY";
const CHANGES: usize = 300;

fn platform() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

async fn open(directory: &Path) -> SqliteKernel {
    SqliteKernel::open(SqliteConfig::new(directory.join("data")), &[], Arc::new(SystemClock)).await.unwrap()
}

fn seal(directory: &Path, kernel: &SqliteKernel) -> Sealer {
    let (store, leases) =
        (Arc::new(SqliteAudit::new(kernel.clone())), Arc::new(SqliteLeases::new(kernel.clone())));
    let key = AuditKey::load_or_create(&directory.join("audit.key")).unwrap();
    let mut config = SealerConfig::new(directory.join("checkpoints.jsonl"));
    config.interval = std::time::Duration::from_millis(20);
    // What was killed holds its lease until it ends.
    config.lease = std::time::Duration::from_millis(500);
    Sealer::start(store, leases, key, Arc::new(SystemClock), config).unwrap()
}

/// The process that is killed: changes of a tenant and of the platform, denials, and a sealer, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other test starts it, and kills it"]
async fn writes_until_it_is_killed() {
    let directory = std::path::PathBuf::from(std::env::var(DIRECTORY).unwrap());
    let kernel = open(&directory).await;
    let _sealer = seal(&directory, &kernel);
    let store = Arc::new(SqliteAudit::new(kernel.clone()));
    let denials = GroupedDenials::start(store, Arc::new(SystemClock), DenialConfig::default()).unwrap();
    let principal = Principal {
        id: PrincipalId::parse("u1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::default(),
    };
    let scope = Scope::new(acme(), Arc::new(principal));
    let changes = (0..4).map(|writer| {
        let (kernel, scope, denials) = (&kernel, &scope, &denials);
        async move {
            for number in 0_u64.. {
                let resource = format!("note/{}-{writer}-{number}", std::process::id());
                if writer % 2 == 0 {
                    let mut tx = kernel.begin(scope).await.unwrap();
                    tx.audit(AuditRecord::done(scope, "note.create", &resource)).await.unwrap();
                    tx.commit().await.unwrap();
                } else {
                    let mut tx = kernel.control(&platform()).await.unwrap();
                    tx.audit(AuditRecord::administered(&platform(), "note.create", &resource)).await.unwrap();
                    tx.commit().await.unwrap();
                }
                // The acknowledgement: not one byte of it before the commit.
                let mut out = std::io::stdout();
                writeln!(out, "ack {writer} {resource}").unwrap();
                out.flush().unwrap();
                let denial = AuditRecord {
                    actor: format!("stranger-{number}"),
                    action: "auth.denied".into(),
                    resource: "request".into(),
                    outcome: Outcome::Denied,
                    request_id: String::new(),
                    detail: serde_json::Value::Null,
                };
                denials.denied(Chain::Platform, denial);
            }
        }
    });
    futures_util::future::join_all(changes).await;
}

/// Starts the other test as a process, kills it after some acknowledgements, and returns all that it gave.
fn acknowledged_before_the_kill(directory: &Path) -> Vec<(Chain, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_it_is_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    // What stood in the pipe when it was killed was acknowledged too.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((writer, resource)) = line.strip_prefix("ack ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let chain = match writer.parse::<u8>().unwrap() % 2 {
            0 => Chain::Tenant(acme()),
            _ => Chain::Platform,
        };
        acknowledged.push((chain, resource.to_owned()));
        if acknowledged.len() >= CHANGES && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(killed, "it ended by itself after {} changes", acknowledged.len());
    child.wait().unwrap();
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_under_load_every_acknowledged_change_is_in_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let mut tx = kernel.control(&platform()).await.unwrap();
    kernel.place(&mut tx, &acme(), IsolationMode::Database, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&platform(), &acme()).await.unwrap();
    kernel.close().await;

    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let place = directory.path().to_owned();
        let killed = tokio::task::spawn_blocking(move || acknowledged_before_the_kill(&place));
        acknowledged.extend(killed.await.unwrap());
    }

    let kernel = open(directory.path()).await;
    let sealer = seal(directory.path(), &kernel);
    everything_sealed(&sealer).await;
    sealer.shutdown().await;
    let store = SqliteAudit::new(kernel.clone());
    for chain in [Chain::Platform, Chain::Tenant(acme())] {
        let mut linked = HashSet::new();
        let mut after = 0;
        loop {
            let page = store.sealed(&platform(), &chain, after, 500).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.seal.seq;
            linked.extend(page.into_iter().map(|link| link.record.unwrap().entry.resource));
        }
        let mine = acknowledged.iter().filter(|(of, _)| *of == chain);
        let missing: Vec<_> = mine.filter(|(_, resource)| !linked.contains(resource)).collect();
        assert!(missing.is_empty(), "{chain}: acknowledged and not in the chain: {missing:?}");
        assert!(!store.records(&platform(), &chain, Window::default(), 1).await.unwrap().is_empty());
    }
    let key = AuditKey::load_or_create(&directory.path().join("audit.key")).unwrap();
    let file = directory.path().join("checkpoints.jsonl");
    let report = verify(&store, &file, &[key.public()]).await.unwrap();
    assert!(report.is_intact() && report.unsealed() == 0, "{report}: {:?}", report.problems);
    assert!(report.sealed() >= acknowledged.len() as u64 && acknowledged.len() >= 3 * CHANGES);
    kernel.close().await;
}

/// Waits until the lease of the process that was killed has ended and everything is sealed.
async fn everything_sealed(sealer: &Sealer) {
    let sealed = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            tick.tick().await;
            let round = sealer.seal_now().await.unwrap();
            if round.leads && round.left == 0 && round.failed == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), sealed).await.unwrap();
}

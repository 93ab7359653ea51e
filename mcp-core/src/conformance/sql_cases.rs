//! The cases of the SQL kernel's suite, one per promise of [`crate::sql`].

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;

use super::{
    Cut, Failure, Outcome, cancel_at, ensure, eventually,
    sql::{SqlHarness, Subject, platform, scope_of},
};
use crate::{
    audit::AuditRecord,
    error::{ErrorKind, Result},
    event::Event,
    scope::{Scope, TenantId},
    sql::{TenantRead, TenantTx},
};

const INSERT: &str = "INSERT INTO probe (tenant_id, id) VALUES ($1, $2)";
const OWN: &str = "SELECT id FROM probe WHERE tenant_id = $1 ORDER BY id";
const ALL: &str = "SELECT tenant_id FROM probe";
/// More polls than any operation here takes.
const MOST_POLLS: usize = 2_000;

/// A tenant of its own, made and provisioned, and new in each run.
async fn tenant<S: Subject>(harness: &SqlHarness<S>, kernel: &S) -> Result<Scope, Failure> {
    let scope = unplaced()?;
    let mut tx = kernel.control(&platform()?).await?;
    kernel.place(&mut tx, scope.tenant(), harness.mode).await?;
    tx.commit().await?;
    kernel.provision(&platform()?, scope.tenant()).await?;
    Ok(scope)
}

fn unplaced() -> Result<Scope> {
    scope_of(&format!("t-{}", uuid::Uuid::new_v4().simple()))
}

async fn insert<S: Subject>(tx: &mut TenantTx<S::Db>, id: &str) -> Result<()> {
    let tenant = tx.tenant().clone();
    S::execute(tx.conn(), INSERT, &[tenant.as_str(), id]).await.map(|_| ())
}

async fn own<S: Subject>(read: &mut TenantRead<S::Db>) -> Result<Vec<String>> {
    let tenant = read.tenant().clone();
    S::texts(read.conn(), OWN, &[tenant.as_str()]).await
}

async fn stored<S: Subject>(kernel: &S, scope: &Scope) -> Result<Vec<String>> {
    own::<S>(&mut kernel.read(scope).await?).await
}

/// One row, one event, one audit record, in one transaction.
async fn change<S: Subject>(kernel: &S, scope: &Scope, id: &str) -> Result<()> {
    let mut tx = kernel.begin(scope).await?;
    insert::<S>(&mut tx, id).await?;
    tx.emit(Event::new("probe.made.v1", "/probe", json!({})).with_subject(id)).await?;
    tx.audit(AuditRecord::done(scope, "probe.make", id)).await?;
    tx.commit().await
}

/// How many rows, events and audit records the tenant has of `id`.
async fn traces<S: Subject>(kernel: &S, scope: &Scope, id: &str) -> Result<[usize; 3]> {
    const EVENTS: &str =
        "SELECT id FROM outbox WHERE tenant_id = $1 AND envelope LIKE '%\"subject\":\"' || $2 || '\"%'";
    const RECORDS: &str = "SELECT id FROM audit WHERE tenant_id = $1 AND resource = $2";
    let mut read = kernel.read(scope).await?;
    let tenant = scope.tenant().as_str();
    let rows = own::<S>(&mut read).await?.iter().filter(|row| *row == id).count();
    let events = S::texts(read.conn(), EVENTS, &[tenant, id]).await?.len();
    let records = S::texts(read.conn(), RECORDS, &[tenant, id]).await?.len();
    Ok([rows, events, records])
}

async fn nothing_open<S: Subject>(harness: &SqlHarness<S>, tenant: &TenantId) -> Outcome {
    eventually("a transaction was left open", || async {
        Ok((harness.open_transactions)(tenant).await? == 0)
    })
    .await
}

pub(crate) async fn begins_for_its_tenant<S: Subject>(harness: &SqlHarness<S>, case: &str) -> Outcome {
    let kernel = (harness.open)().await?;
    let (a, b) = (tenant(harness, &kernel).await?, tenant(harness, &kernel).await?);
    for round in 0..3 {
        for scope in [&a, &b] {
            let mut tx = kernel.begin(scope).await?;
            ensure(tx.tenant() == scope.tenant(), format!("{case}: begun for another tenant"))?;
            insert::<S>(&mut tx, &format!("{}-{round}", scope.tenant())).await?;
            tx.commit().await?;
        }
    }
    for scope in [&a, &b] {
        let ids = stored(&kernel, scope).await?;
        let prefix = scope.tenant().as_str();
        ensure(
            ids.len() == 3 && ids.iter().all(|id| id.starts_with(prefix)),
            "rows of another tenant are here",
        )?;
    }
    Ok(())
}

pub(crate) async fn commits_all_or_nothing<S: Subject>(harness: &SqlHarness<S>, _: &str) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = tenant(harness, &kernel).await?;
    change(&kernel, &scope, "kept").await?;
    ensure(traces(&kernel, &scope, "kept").await? == [1, 1, 1], "a commit did not keep all three")?;
    let mut tx = kernel.begin(&scope).await?;
    tx.emit(Event::new("probe.made.v1", "/probe", json!({})).with_subject("lost")).await?;
    tx.audit(AuditRecord::done(&scope, "probe.make", "lost")).await?;
    insert::<S>(&mut tx, "lost").await?;
    ensure(insert::<S>(&mut tx, "kept").await.is_err(), "a key was taken twice")?;
    drop(tx);
    ensure(traces(&kernel, &scope, "lost").await? == [0, 0, 0], "a failed transaction kept something")
}

pub(crate) async fn rolls_back_when_dropped<S: Subject>(harness: &SqlHarness<S>, _: &str) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = tenant(harness, &kernel).await?;
    let mut dropped = kernel.begin(&scope).await?;
    insert::<S>(&mut dropped, "dropped").await?;
    drop(dropped);
    nothing_open(harness, scope.tenant()).await?;
    let mut rolled = kernel.begin(&scope).await?;
    insert::<S>(&mut rolled, "rolled").await?;
    rolled.rollback().await?;
    ensure(stored(&kernel, &scope).await?.is_empty(), "a row outlived its rollback")
}

pub(crate) async fn cancelled_anywhere_leaves_nothing_open<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    let kernel = (harness.open)().await?;
    let (scope, other) = (tenant(harness, &kernel).await?, tenant(harness, &kernel).await?);
    for polls in 1..MOST_POLLS {
        let cut = cancel_at(polls, kernel.begin(&scope)).await;
        let done = matches!(cut, Cut::Completed(Ok(_)));
        drop(cut);
        nothing_open(harness, scope.tenant()).await?;
        let next = kernel.begin(&other).await?;
        ensure(next.tenant() == other.tenant(), "the next begin has the tenant of a cancelled one")?;
        drop(next);
        if done {
            break;
        }
        ensure(polls + 1 < MOST_POLLS, "a begin never completes")?;
    }
    for polls in 1..MOST_POLLS {
        let id = format!("n{polls}");
        let cut = cancel_at(polls, change(&kernel, &scope, &id)).await;
        nothing_open(harness, scope.tenant()).await?;
        let left = traces(&kernel, &scope, &id).await?;
        ensure(left == [0, 0, 0] || left == [1, 1, 1], format!("cut at poll {polls}, {left:?} were left"))?;
        change(&kernel, &other, &id).await?;
        match cut {
            Cut::Completed(outcome) => {
                outcome?;
                return ensure(left == [1, 1, 1], "a completed change left nothing");
            }
            Cut::Dropped => {}
        }
    }
    Err(Failure::from("a change never completes".to_owned()))
}

/// Cancels `work` at each of its awaits in turn: nothing is left open. `before` comes before each attempt.
async fn cut_everywhere<S: Subject>(
    harness: &SqlHarness<S>,
    scope: &Scope,
    what: &str,
    mut before: impl AsyncFnMut() -> Result<()>,
    work: impl AsyncFn() -> Result<()>,
) -> Outcome {
    for polls in 1..MOST_POLLS {
        before().await?;
        let done = match cancel_at(polls, work()).await {
            Cut::Completed(outcome) => outcome.map(|()| true)?,
            Cut::Dropped => false,
        };
        let left = nothing_open(harness, scope.tenant()).await;
        left.map_err(|error| Failure::from(format!("{what}, cut at poll {polls}: {error}")))?;
        if done {
            return Ok(());
        }
    }
    Err(Failure::from(format!("{what} never completes")))
}

pub(crate) async fn cancelled_reads_and_rollbacks_leave_nothing_open<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    const RECORDS: &str = "SELECT id FROM audit";
    let kernel = &(harness.open)().await?;
    let (scope, above) = (&tenant(harness, kernel).await?, &platform()?);
    let administer = async || {
        let mut tx = kernel.control(above).await?;
        tx.audit(AuditRecord::administered(above, "probe.control", "probe")).await?;
        tx.commit().await
    };
    // Reads come behind a commit: a reader of what has no new page may hold nothing that can be seen.
    let mut changes = 0;
    let changed = async || {
        changes += 1;
        change(kernel, scope, &format!("n{changes}")).await
    };
    let read = async || own::<S>(&mut kernel.read(scope).await?).await.map(drop);
    cut_everywhere(harness, scope, "a read", changed, read).await?;
    let read_above = async || {
        let mut read = kernel.control_read(above).await?;
        S::texts(read.conn(), RECORDS, &[]).await.map(drop)
    };
    cut_everywhere(harness, scope, "a read above tenants", administer, read_above).await?;
    cut_everywhere(harness, scope, "a change above tenants", async || Ok(()), administer).await?;
    let rolled = async || {
        let mut tx = kernel.begin(scope).await?;
        insert::<S>(&mut tx, "rolled").await?;
        tx.rollback().await
    };
    cut_everywhere(harness, scope, "a rollback", async || Ok(()), rolled).await?;
    ensure(!stored(kernel, scope).await?.contains(&"rolled".to_owned()), "a row outlived its rollback")
}

pub(crate) async fn finishes_a_commit_that_was_started<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = tenant(harness, &kernel).await?;
    let mut tx = kernel.begin(&scope).await?;
    insert::<S>(&mut tx, "kept").await?;
    drop(cancel_at(1, tx.commit()).await);
    eventually("a commit that was started is lost", || async {
        Ok(stored(&kernel, &scope).await? == ["kept"])
    })
    .await
}

pub(crate) async fn keeps_tenants_apart<S: Subject>(harness: &SqlHarness<S>, _: &str) -> Outcome {
    let kernel = (harness.open)().await?;
    let made = (0..4).map(|_| tenant(harness, &kernel));
    let scopes = try_join_all(made).await?;
    // Interleaved on shared connections: every writer awaits between its statements.
    let writers = scopes.iter().flat_map(|scope| (0..8).map(move |n| (scope, n)));
    let writes = writers.map(|(scope, n)| {
        let kernel = kernel.clone();
        async move {
            let mut tx = kernel.begin(scope).await?;
            insert::<S>(&mut tx, &format!("{}/{n}", scope.tenant())).await?;
            tokio::task::yield_now().await;
            tx.commit().await
        }
    });
    try_join_all(writes).await?;
    for scope in &scopes {
        let mut read = kernel.read(scope).await?;
        let ids = own::<S>(&mut read).await?;
        let prefix = format!("{}/", scope.tenant());
        ensure(ids.len() == 8 && ids.iter().all(|id| id.starts_with(&prefix)), "rows are not those written")?;
        if harness.guarded {
            let seen = S::texts(read.conn(), ALL, &[]).await?;
            let mine = seen.iter().all(|tenant| tenant == scope.tenant().as_str());
            ensure(mine && seen.len() == 8, "a statement that forgot the tenant saw another's rows")?;
        }
    }
    if harness.guarded && harness.mode == crate::sql::IsolationMode::Row {
        let mut tx = kernel.begin(&scopes[0]).await?;
        let forged = S::execute(tx.conn(), INSERT, &[scopes[1].tenant().as_str(), "forged"]).await;
        ensure(forged.is_err(), "a row was written for another tenant")?;
        drop(tx);
        let mut tx = kernel.begin(&scopes[0]).await?;
        let other = [scopes[1].tenant().as_str()];
        let taken = S::execute(tx.conn(), "DELETE FROM probe WHERE tenant_id = $1", &other);
        ensure(taken.await? == 0, "another tenant's rows were deleted")?;
    }
    Ok(())
}

pub(crate) async fn reads_one_state_and_cannot_write<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = tenant(harness, &kernel).await?;
    let mut read = kernel.read(&scope).await?;
    ensure(own::<S>(&mut read).await?.is_empty(), "a new tenant has rows")?;
    change(&kernel, &scope, "later").await?;
    ensure(own::<S>(&mut read).await?.is_empty(), "a read saw a later commit")?;
    let wrote = S::execute(read.conn(), INSERT, &[scope.tenant().as_str(), "x"]).await;
    ensure(wrote.is_err(), "a read could write")?;
    drop(read);
    ensure(stored(&kernel, &scope).await? == ["later"], "a new read does not see the commit")
}

pub(crate) async fn finds_no_tenant_without_placement<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = unplaced()?;
    let none = ErrorKind::NotFound;
    ensure(
        kernel.begin(&scope).await.is_err_and(|error| error.kind() == none),
        "begun for a tenant that is not",
    )?;
    ensure(
        kernel.read(&scope).await.is_err_and(|error| error.kind() == none),
        "read of a tenant that is not",
    )?;
    let provisioned = kernel.provision(&platform()?, scope.tenant()).await;
    ensure(provisioned.is_err_and(|error| error.kind() == none), "provisioned a tenant that is not")?;

    let mut tx = kernel.control(&platform()?).await?;
    kernel.place(&mut tx, scope.tenant(), harness.mode).await?;
    tx.rollback().await?;
    ensure(
        kernel.begin(&scope).await.is_err_and(|error| error.kind() == none),
        "a rolled-back place is used",
    )?;

    let mut tx = kernel.control(&platform()?).await?;
    kernel.place(&mut tx, scope.tenant(), harness.mode).await?;
    tx.commit().await?;
    let early = kernel.begin(&scope).await;
    ensure(
        early.is_err_and(|error| error.kind() == ErrorKind::Unavailable),
        "begun before it was provisioned",
    )?;
    let mut tx = kernel.control(&platform()?).await?;
    let twice = kernel.place(&mut tx, scope.tenant(), harness.mode).await;
    ensure(twice.is_err_and(|error| error.kind() == ErrorKind::AlreadyExists), "a tenant was placed twice")
}

pub(crate) async fn provisions_again_raced_and_interrupted<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = unplaced()?;
    let mut tx = kernel.control(&platform()?).await?;
    kernel.place(&mut tx, scope.tenant(), harness.mode).await?;
    tx.commit().await?;
    let above = platform()?;
    drop(cancel_at(1, kernel.provision(&above, scope.tenant())).await);
    try_join_all((0..4).map(|_| kernel.provision(&above, scope.tenant()))).await?;
    change(&kernel, &scope, "kept").await?;
    kernel.provision(&above, scope.tenant()).await?;
    ensure(stored(&kernel, &scope).await? == ["kept"], "provisioning again lost a row")
}

pub(crate) async fn migrates_once<S: Subject>(harness: &SqlHarness<S>, _: &str) -> Outcome {
    let kernels = try_join_all((0..4).map(|_| (harness.open)())).await?;
    let scope = tenant(harness, &kernels[0]).await?;
    for (n, kernel) in kernels.iter().enumerate() {
        change(kernel, &scope, &n.to_string()).await?;
    }
    let mut read = kernels[3].read(&scope).await?;
    let applied = S::texts(read.conn(), "SELECT description FROM _migrations_probe", &[]).await?;
    ensure(applied == ["probe"], format!("applied: {applied:?}"))?;
    ensure(own::<S>(&mut read).await?.len() == 4, "a kernel wrote elsewhere")
}

pub(crate) async fn begins_nothing_after_the_deadline<S: Subject>(
    harness: &SqlHarness<S>,
    _: &str,
) -> Outcome {
    let kernel = (harness.open)().await?;
    let scope = tenant(harness, &kernel).await?;
    let late = scope.clone().with_deadline(Instant::now());
    let begun = kernel.begin(&late).await;
    ensure(
        begun.is_err_and(|error| error.kind() == ErrorKind::DeadlineExceeded),
        "begun after the deadline",
    )?;
    nothing_open(harness, scope.tenant()).await?;
    let soon = scope.with_deadline(Instant::now() + Duration::from_secs(60));
    change(&kernel, &soon, "kept").await?;
    Ok(())
}

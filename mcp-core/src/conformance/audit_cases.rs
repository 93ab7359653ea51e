//! The cases of the audit log's suite.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    AuditHarness, Cut, Failure, Outcome,
    audit::{entry, record},
    cancel_at, ensure, platform,
};
use crate::{
    audit::{
        AuditFilter, AuditKey, AuditQuery, Chain, DenialConfig, DenialLog as _, Entry, GroupedDenials,
        Search, StoredEntry, Window, list, page, search_chain, verify,
    },
    clock::{SystemClock, Timestamp},
    error::{ErrorKind, Result},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, Scope, TenantId},
};

pub(super) async fn appends_all_or_none(harness: &AuditHarness) -> Outcome {
    let (scope, chain) = (platform()?, harness.chain(0));
    let twice = entry(0)?;
    let kind = harness.store.append(&scope, &chain, &[twice.clone(), entry(1)?, twice]).await.err();
    ensure(kind.map(|error| error.kind()) == Some(ErrorKind::AlreadyExists), "one id was taken twice")?;
    let left = harness.store.unsealed(&scope, &chain).await?;
    ensure(left == 0, format!("{left} entries of a refused batch were kept"))
}

pub(super) async fn seals_in_order_and_each_once(harness: &AuditHarness) -> Outcome {
    let (scope, chain, key) = (platform()?, harness.chain(1), AuditKey::ephemeral()?);
    harness.append(&chain, 7).await?;
    let mut figures = Vec::new();
    for _ in 0..4 {
        let batch = harness.seal(&chain, 1, 3, &key).await?;
        figures.push((batch.sealed, batch.left));
    }
    ensure(figures == [(3, 4), (3, 1), (1, 0), (0, 0)], format!("sealed and left: {figures:?}"))?;
    let links = harness.store.sealed(&scope, &chain, 0, 100).await?;
    let mut prev = [0; 32];
    for (number, link) in links.iter().enumerate() {
        let record = link.record.as_ref().ok_or("a record is missing".to_owned())?;
        ensure(
            record.entry.resource == format!("thing/{number}"),
            format!("{} is out of order", record.entry.resource),
        )?;
        ensure(link.seal.seq == number as i64 + 1, "the numbers have a gap")?;
        ensure(link.seal.prev_hash == prev, "the chain is broken")?;
        ensure(record.link(&chain, link.seal.seq, &prev) == link.seal.hash, "the hash is another")?;
        prev = link.seal.hash;
    }
    ensure(links.len() == 7, format!("{} links", links.len()))?;
    let some = harness.store.hashes(&scope, &chain, &[2, 7, 8]).await?;
    ensure(some == [(2, links[1].seal.hash), (7, prev)], "the hashes asked for are others")?;
    ensure(harness.store.strays(&scope, &chain, 9).await?.is_empty(), "there are strays")
}

pub(super) async fn commits_links_and_checkpoint_together(harness: &AuditHarness) -> Outcome {
    let (scope, chain, key) = (platform()?, harness.chain(2), AuditKey::ephemeral()?);
    harness.append(&chain, 5).await?;
    harness.seal(&chain, 1, 2, &key).await?;
    harness.seal(&chain, 1, 2, &key).await?;
    let head = harness.store.head(&scope, &chain).await?;
    let signed = harness.store.checkpoints(&scope, &chain, 0, 9).await?;
    let seqs: Vec<_> = signed.iter().map(|checkpoint| checkpoint.seq).collect();
    ensure(seqs == [2, 4] && head.seq == 4, format!("checkpoints {seqs:?}, head {}", head.seq))?;
    ensure(signed[1].hash == head.hash, "the checkpoint has another hash than the head")?;
    ensure(signed.iter().all(|checkpoint| checkpoint.is_signed_by(&[key.public()])), "a signature is bad")?;
    let behind = harness.store.checkpoints(&scope, &chain, 2, 9).await?;
    ensure(behind == signed[1..], "checkpoints are not read from where they were left")
}

pub(super) async fn refuses_an_old_fence(harness: &AuditHarness) -> Outcome {
    let (scope, chain, key) = (platform()?, harness.chain(3), AuditKey::ephemeral()?);
    harness.append(&chain, 2).await?;
    harness.seal(&chain, 5, 1, &key).await?;
    let refused = harness.seal(&chain, 4, 1, &key).await;
    ensure(refused.err().map(|error| error.kind()) == Some(ErrorKind::Conflict), "an old token sealed")?;
    ensure(harness.store.head(&scope, &chain).await?.seq == 1, "an old token left a link")?;
    ensure(
        harness.store.checkpoints(&scope, &chain, 1, 9).await?.is_empty(),
        "an old token left a checkpoint",
    )?;
    let sealed = harness.seal(&chain, 5, 1, &key).await?.sealed;
    ensure(sealed == 1, "the token that sealed last cannot go on")
}

pub(super) async fn seals_once_when_raced(harness: &AuditHarness) -> Outcome {
    let (scope, chain, key) = (platform()?, harness.chain(4), AuditKey::ephemeral()?);
    harness.append(&chain, 40).await?;
    let race = async || {
        for _ in 0..10 {
            // Whoever comes second is refused, and may try again.
            let _ = harness.seal(&chain, 1, 4, &key).await;
        }
    };
    tokio::join!(race(), race(), race());
    while harness.seal(&chain, 1, 50, &key).await?.left > 0 {}
    let links = harness.store.sealed(&scope, &chain, 0, 100).await?;
    ensure(links.len() == 40, format!("{} links of 40 records", links.len()))?;
    ensure(links.windows(2).all(|pair| pair[0].seal.hash == pair[1].seal.prev_hash), "the chain forked")
}

pub(super) async fn leaves_no_half_when_cancelled_anywhere(harness: &AuditHarness) -> Outcome {
    const RECORDS: u64 = 100;
    let (scope, chain, key) = (platform()?, harness.chain(10), AuditKey::ephemeral()?);
    harness.append(&chain, RECORDS as usize).await?;
    for polls in 1..1000 {
        let cut = cancel_at(polls, harness.seal(&chain, 1, 1, &key)).await;
        // A commit that was started is finished after the cut.
        super::eventually(&format!("cut at poll {polls}, a half was left"), async || {
            let links = harness.store.sealed(&scope, &chain, 0, 500).await?.len() as u64;
            let signed = harness.store.checkpoints(&scope, &chain, 0, 500).await?.len() as u64;
            let left = harness.store.unsealed(&scope, &chain).await?;
            Ok(links == signed && links + left == RECORDS)
        })
        .await?;
        if let Cut::Completed(Ok(batch)) = cut
            && batch.sealed == 1
        {
            return Ok(());
        }
    }
    Err(Failure::from("sealing never completes".to_owned()))
}

pub(super) async fn keeps_chains_apart(harness: &AuditHarness) -> Outcome {
    let (scope, one, other, key) = (platform()?, harness.chain(5), harness.chain(6), AuditKey::ephemeral()?);
    harness.append(&one, 3).await?;
    harness.append(&other, 1).await?;
    let batch = harness.seal(&one, 1, 9, &key).await?;
    ensure((batch.sealed, batch.left) == (3, 0), format!("{batch:?} of three records"))?;
    ensure(harness.store.unsealed(&scope, &other).await? == 1, "the other chain was sealed too")?;
    ensure(harness.store.sealed(&scope, &other, 0, 9).await?.is_empty(), "it shows in the other chain")?;
    let mine = harness.store.records(&scope, &one, Window::default(), 9).await?;
    let theirs = harness.store.records(&scope, &other, Window::default(), 9).await?;
    ensure((mine.len(), theirs.len()) == (3, 1), format!("{} and {} records", mine.len(), theirs.len()))?;
    let window = Window { after: Some(mine[0].entry.id), newest_first: false };
    let kind = harness.store.records(&scope, &other, window, 9).await.err().map(|error| error.kind());
    ensure(kind == Some(ErrorKind::InvalidInput), "another chain's record is good as a cursor")
}

pub(super) async fn pages_in_both_directions(harness: &AuditHarness) -> Outcome {
    let (scope, chain) = (platform()?, harness.chain(7));
    harness.append(&chain, 5).await?;
    for oldest_first in [true, false] {
        let mut query = AuditQuery { limit: 2, cursor: None, oldest_first };
        let mut seen = Vec::new();
        loop {
            let found = page(&*harness.store, &scope, &chain, &query).await?;
            seen.extend(found.records.iter().filter_map(|record| record.detail["number"].as_u64()));
            query.cursor = found.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        let expected = if oldest_first { [0, 1, 2, 3, 4] } else { [4, 3, 2, 1, 0] };
        ensure(seen == expected, format!("oldest first {oldest_first}: {seen:?}"))?;
    }
    for (limit, cursor) in
        [(0, None), (501, None), (9, Some("17")), (9, Some("01900000-0000-7000-8000-000000000000"))]
    {
        let query = AuditQuery { limit, cursor: cursor.map(str::to_owned), oldest_first: false };
        let kind = page(&*harness.store, &scope, &chain, &query).await.err().map(|error| error.kind());
        ensure(kind == Some(ErrorKind::InvalidInput), format!("{query:?}: {kind:?}"))?;
    }
    Ok(())
}

pub(super) async fn finds_what_is_asked_for_within_its_bound(harness: &AuditHarness) -> Outcome {
    let (scope, chain) = (platform()?, harness.chain(12));
    let mut entries = Vec::new();
    for number in 0..20_usize {
        let mut told = record(if number % 2 == 0 { "even" } else { "odd" }, number);
        told.action = if number % 5 == 0 { "test.fifth".into() } else { "tested.did".into() };
        told.outcome = if number < 10 { crate::audit::Outcome::Done } else { crate::audit::Outcome::Denied };
        entries.push(Entry::new(told, Timestamp::from_micros(number as i64))?);
    }
    harness.store.append(&scope, &chain, &entries).await?;
    let all = AuditFilter::default();
    let text = |text: &str| Some(text.to_owned());
    let at = |micros| Some(Timestamp::from_micros(micros));
    for (filter, expected) in [
        (AuditFilter { actor: text("odd"), action: text("test.fifth"), ..all.clone() }, vec![5, 15]),
        (AuditFilter { action: text("test.*"), ..all.clone() }, vec![0, 5, 10, 15]),
        (AuditFilter { action: text("test%"), ..all.clone() }, vec![]),
        (AuditFilter { actor: text("' OR '1'='1"), ..all.clone() }, vec![]),
        (AuditFilter { from: at(8), until: at(11), ..all.clone() }, vec![8, 9, 10]),
        (
            AuditFilter {
                outcome: Some(crate::audit::Outcome::Denied),
                action: text("test.fifth"),
                ..all.clone()
            },
            vec![10, 15],
        ),
    ] {
        for newest_first in [false, true] {
            // Three are looked at in each step; a step may find none.
            let (mut seen, mut after, mut steps) = (Vec::new(), None, 0);
            loop {
                let window = Window { after, newest_first };
                let search = Search { window, filter: &filter, limit: 2, scan: 3 };
                let found = harness.store.find(&scope, &chain, &search).await?;
                ensure(found.records.len() <= 2, "more records than the limit")?;
                seen.extend(found.records.iter().map(|stored| stored.entry.time.as_micros()));
                (after, steps) = (found.next, steps + 1);
                if after.is_none() {
                    break;
                }
                ensure(steps < 30, "the search does not end")?;
            }
            ensure(steps >= 7, format!("{steps} steps looked at more than three records each"))?;
            if newest_first {
                seen.reverse();
            }
            ensure(seen == expected, format!("{filter:?}, newest first {newest_first}: {seen:?}"))?;
        }
    }
    let senseless = AuditFilter { action: text("*"), ..all };
    let refused = search_chain(&*harness.store, &scope, &chain, &AuditQuery::default(), &senseless).await;
    ensure(
        refused.err().map(|error| error.kind()) == Some(ErrorKind::InvalidInput),
        "a senseless filter is taken",
    )
}

pub(super) async fn shows_a_tenant_its_own_with_permission_only(harness: &AuditHarness) -> Outcome {
    harness.append(&harness.chain(8), 2).await?;
    let found =
        list(&*harness.store, &reader(&harness.tenants[8], "audit:read")?, &AuditQuery::default()).await?;
    ensure(found.records.len() == 2, format!("{} of 2 records", found.records.len()))?;
    let refused =
        list(&*harness.store, &reader(&harness.tenants[8], "tools:call")?, &AuditQuery::default()).await;
    ensure(
        refused.err().map(|error| error.kind()) == Some(ErrorKind::PermissionDenied),
        "it takes no permission",
    )
}

pub(super) async fn a_flood_of_denials_costs_few_records(harness: &AuditHarness) -> Outcome {
    const FLOOD: u64 = 100_000;
    let (scope, chain) = (platform()?, harness.chain(9));
    let denials = denials(harness, DenialConfig::default())?;
    for number in 0..FLOOD {
        denials.denied(chain.clone(), record("attacker", number as usize));
        if number % 10_000 == 0 {
            denials.denied(chain.clone(), record("bystander", number as usize));
            tokio::task::yield_now().await;
        }
    }
    denials.shutdown().await;
    let stored = harness.store.records(&scope, &chain, Window::default(), 1000).await?;
    let of = |actor: &str| stored.iter().filter(|stored| stored.entry.actor == actor).count();
    ensure(
        of("bystander") == 10,
        format!("{} of the bystander's 10 denials were recorded", of("bystander")),
    )?;
    ensure(stored.len() < 200, format!("{} records", stored.len()))?;
    let attacked: u64 = stored.iter().filter(|stored| stored.entry.actor == "attacker").map(weight).sum();
    ensure(attacked == FLOOD, format!("{attacked} of {FLOOD} denials are accounted for"))
}

pub(super) async fn denials_are_written_at_shutdown(harness: &AuditHarness) -> Outcome {
    let (scope, before) = (platform()?, platform_records(harness).await?.len());
    let config = DenialConfig { linger: Duration::from_secs(3600), ..DenialConfig::default() };
    let denials = denials(harness, config)?;
    denials.denied(Chain::Platform, record("anonymous", 1));
    denials.shutdown().await;
    denials.denied(Chain::Platform, record("anonymous", 2));
    denials.shutdown().await;
    let after = harness.store.records(&scope, &Chain::Platform, Window::default(), 1000).await?;
    ensure(after.len() == before + 1, format!("{} records after {before}", after.len()))
}

pub(super) async fn denials_that_cannot_be_written_are_counted(harness: &AuditHarness) -> Outcome {
    let before = platform_records(harness).await?.len();
    let config = DenialConfig { linger: Duration::ZERO, ..DenialConfig::default() };
    let denials = denials(harness, config)?;
    for number in 0..3 {
        denials.denied(Chain::Tenant(TenantId::parse("nobody-knows")?), record("u1", number));
    }
    // The next flush says what the one before it lost.
    let tries = AtomicUsize::new(0);
    super::eventually("the loss was not recorded", async || {
        let actor = format!("anonymous-{}", tries.fetch_add(1, Ordering::Relaxed));
        denials.denied(Chain::Platform, record(&actor, 9));
        let new = platform_records(harness).await?;
        let lost = new[before..]
            .iter()
            .filter(|stored| stored.entry.action == "audit.dropped")
            .map(weight)
            .sum::<u64>();
        Ok(lost == 3)
    })
    .await?;
    denials.shutdown().await;
    Ok(())
}

pub(super) async fn one_of_two_sealers_seals_and_the_other_takes_over(harness: &AuditHarness) -> Outcome {
    let key = AuditKey::ephemeral()?;
    harness.append(&Chain::Platform, 3).await?;
    let first = harness.sealer(&key, "sealers.jsonl")?;
    // The round that every sealer begins with may have sealed them already.
    let round = first.seal_now().await?;
    ensure(round.leads && round.failed == 0, format!("the first does not lead: {round:?}"))?;
    let left = harness.store.unsealed(&platform()?, &Chain::Platform).await?;
    ensure(left == 0, format!("the first left {left} records"))?;
    let second = harness.sealer(&key, "sealers.jsonl")?;
    harness.append(&Chain::Platform, 2).await?;
    let idle = second.seal_now().await?;
    ensure(!idle.leads && idle.sealed == 0, format!("the second sealed beside the first: {idle:?}"))?;
    first.shutdown().await;
    let left = harness.store.unsealed(&platform()?, &Chain::Platform).await?;
    ensure(left == 0, format!("{left} records were left at shutdown"))?;
    harness.append(&Chain::Platform, 2).await?;
    let round = second.seal_now().await?;
    ensure(round.leads && round.sealed >= 2, format!("the second did not take over: {round:?}"))?;
    second.shutdown().await;
    let file = harness.directory.path().join("sealers.jsonl");
    let report = verify(&*harness.store, &file, &[key.public()]).await?;
    let broken: Vec<_> =
        report.problems.iter().filter(|problem| problem.chain.as_deref() == Some("platform")).collect();
    ensure(broken.is_empty(), format!("{broken:?}"))
}

fn denials(harness: &AuditHarness, config: DenialConfig) -> Result<GroupedDenials> {
    GroupedDenials::start(harness.store.clone(), Arc::new(SystemClock), config)
}

/// How many denials a record speaks of.
fn weight(stored: &StoredEntry) -> u64 {
    let detail =
        stored.entry.detail.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    detail.and_then(|detail| detail["count"].as_u64()).unwrap_or(1)
}

async fn platform_records(harness: &AuditHarness) -> Result<Vec<StoredEntry>> {
    harness.store.records(&platform()?, &Chain::Platform, Window::default(), 1000).await
}

fn reader(tenant: &TenantId, permission: &str) -> Result<Scope> {
    let principal = Principal {
        id: PrincipalId::parse("reader")?,
        kind: PrincipalKind::User,
        permissions: Permissions::parse([permission])?,
    };
    Ok(Scope::new(tenant.clone(), Arc::new(principal)))
}

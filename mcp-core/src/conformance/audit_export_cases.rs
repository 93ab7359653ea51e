//! The cases of the audit log's suite on taking it elsewhere.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;

use super::{AuditHarness, Outcome, ensure, platform};
use crate::{
    audit::{
        AuditKey, Head, ProblemKind, VerifyReport,
        export::{
            AuditSink, Export, ExportPage, ExportVerifier, Format, Forwarder, ForwarderConfig,
            MemoryPositions, Positions as _, lines,
        },
    },
    error::{Error, ErrorKind, Result},
};

pub(super) async fn exports_what_can_be_verified_elsewhere(harness: &AuditHarness) -> Outcome {
    let (scope, chain, key) = (platform()?, harness.chain(13), AuditKey::ephemeral()?);
    harness.append(&chain, 25).await?;
    for limit in [10, 10, 10] {
        harness.seal(&chain, 1, limit, &key).await?;
    }
    harness.append(&chain, 1).await?;
    let export = |after| Export::new(harness.store.clone(), scope.clone(), chain.clone(), after).with_page(7);
    let pages: Vec<_> = lines(export(0), Format::JsonLines).try_collect().await?;
    let text = String::from_utf8(pages.concat()).map_err(|error| error.to_string())?;
    ensure(pages.len() == 4, format!("{} pages of 7 links", pages.len()))?;
    let all: Vec<&str> = text.lines().collect();
    ensure(all.len() == 25 + 3, format!("{} lines of 25 links and 3 checkpoints", all.len()))?;

    let verify = |lines: &[&str]| {
        let mut verifier = ExportVerifier::new(&[key.public()]);
        lines.iter().for_each(|line| verifier.line(line.as_bytes()));
        verifier.finish()
    };
    let report = verify(&all);
    ensure(report.is_intact() && report.sealed() == 25, format!("{report}: {:?}", report.problems))?;
    let found = |report: &VerifyReport, kind| report.problems.iter().any(|problem| problem.kind == kind);
    for number in 0..all.len() {
        let mut without = all.clone();
        let gone = without.remove(number);
        // A checkpoint that another follows says nothing that the other does not.
        let redundant = gone.contains(r#""type":"checkpoint""#) && number + 1 < all.len();
        ensure(
            verify(&without).is_intact() == redundant,
            format!("line {number} is gone and nobody notices"),
        )?;
    }
    let mut swapped = all.clone();
    swapped.swap(2, 3);
    ensure(found(&verify(&swapped), ProblemKind::LinkRemoved), "two links were swapped")?;
    let altered: Vec<String> = all.iter().map(|line| line.replace("thing/4", "thing/5")).collect();
    let altered: Vec<&str> = altered.iter().map(String::as_str).collect();
    ensure(found(&verify(&altered), ProblemKind::RecordAltered), "a record was altered")?;
    ensure(
        found(&verify(&all[..15]), ProblemKind::Unsigned),
        "the end was cut off in the middle of a batch",
    )?;

    // Goes on where it was left, in the middle of a batch.
    let rest: Vec<_> = lines(export(12), Format::JsonLines).try_collect().await?;
    let rest = String::from_utf8(rest.concat()).map_err(|error| error.to_string())?;
    let links = harness.store.sealed(&scope, &chain, 11, 1).await?;
    let head = Head { seq: 12, hash: links[0].seal.hash, fence: 0 };
    let mut resumed = ExportVerifier::new(&[key.public()]).resume(chain.clone(), head);
    rest.lines().for_each(|line| resumed.line(line.as_bytes()));
    let report = resumed.finish();
    ensure(report.is_intact() && report.sealed() == 13, format!("{report}: {:?}", report.problems))?;

    ensure(export(25).next().await?.is_none(), "there is more behind the end")?;
    let lost = export(26).next().await.err().map(|error| error.kind());
    ensure(lost == Some(ErrorKind::InvalidInput), "a place that is not there is taken for the end")
}

/// Takes every second page, and that one only after it has failed.
#[derive(Debug, Default)]
struct Shaky {
    tries: AtomicUsize,
    arrived: Mutex<Vec<(String, i64)>>,
}

#[async_trait]
impl AuditSink for Shaky {
    async fn deliver(&self, page: &ExportPage) -> Result<()> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.extend(page.links.iter().map(|link| (page.chain.to_string(), link.seal.seq)));
        match self.tries.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Err(Error::unavailable("test.deliver", "the receiver is away")),
            _ => Ok(()),
        }
    }
}

pub(super) async fn forwards_each_record_at_least_once(harness: &AuditHarness) -> Outcome {
    const RECORDS: i64 = 30;
    let (chain, key) = (harness.chain(14), AuditKey::ephemeral()?);
    harness.append(&chain, RECORDS as usize).await?;
    harness.seal(&chain, 1, 50, &key).await?;
    let (sink, positions) = (Arc::new(Shaky::default()), Arc::new(MemoryPositions::default()));
    let config = ForwarderConfig {
        interval: std::time::Duration::from_secs(3600),
        page: 8,
        ..ForwarderConfig::default()
    };
    let start = || {
        let (store, leases) = (harness.store.clone(), harness.leases.clone());
        Forwarder::start("suite", store, leases, positions.clone(), sink.clone(), config.clone())
    };
    let first = start()?;
    let failed = first.forward_now().await.err().map(|error| error.kind());
    ensure(failed == Some(ErrorKind::Unavailable), "a failed delivery is no error")?;
    let other = start()?.forward_now().await?;
    ensure(!other.leads && other.delivered == 0, "two forward at once")?;
    for _ in 0..200 {
        if first.forward_now().await.is_ok() {
            break;
        }
    }
    ensure(positions.load(&chain).await? == RECORDS, "the position is not where the chain ends")?;
    first.shutdown().await;
    let arrived = sink.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mine: Vec<i64> =
        arrived.into_iter().filter(|(name, _)| name == chain.as_str()).map(|(_, seq)| seq).collect();
    let missing = (1..=RECORDS).find(|seq| !mine.contains(seq));
    ensure(missing.is_none(), format!("link {missing:?} never arrived"))?;
    let firsts: Vec<i64> = mine
        .iter()
        .scan(0, |most, seq| {
            Some((seq > most).then(|| {
                *most = *seq;
                *seq
            }))
        })
        .flatten()
        .collect();
    ensure(firsts == (1..=RECORDS).collect::<Vec<_>>(), "they did not arrive in order")
}

//! Recomputing the chains.

use std::{collections::HashMap, path::Path};

use super::{
    AuditPublicKey, AuditStore, Chain, ChainReport, Checkpoint, Entry, Problem, ProblemKind, SealedEntry,
    Stray, VerifyReport,
    entry::sha256,
    journal::{self, Place},
};
use crate::{
    erase::LastLink,
    error::{Error, ErrorKind, Result},
    scope::{PlatformScope, PrincipalId},
};

/// Links, checkpoints or lines held at once.
const PAGE: u32 = 500;

/// Recomputes every link of every chain, and compares the chains with all checkpoints: those in the database
/// and those in the file `checkpoints`, which must be signed with one of `keys`.
///
/// It holds a page at a time, and may run while the platform works. What has not been sealed yet cannot be
/// verified, and is counted.
///
/// The chain of a tenant that was erased is gone with it. That is no problem where a sound record of the platform's
/// chain says so; its checkpoints must then go no further than where that record says it ended.
///
/// # Errors
/// Those that say nothing about the chains: the database is away, the file cannot be read. A chain or a file
/// that is gone or damaged is a problem in the report.
pub async fn verify(
    store: &dyn AuditStore,
    checkpoints: &Path,
    keys: &[AuditPublicKey],
) -> Result<VerifyReport> {
    let scope = PlatformScope::new(PrincipalId::parse("verifier")?, "verifying the audit log");
    let mut run = Run { store, scope, keys, erased: HashMap::new(), report: VerifyReport::default() };
    let mut after = None;
    loop {
        let chains = store.chains(&run.scope, after.as_ref(), PAGE).await?;
        let Some(last) = chains.last() else { break };
        after = Some(last.clone());
        for chain in &chains {
            let figures = ChainReport { chain: chain.as_str().to_owned(), ..ChainReport::default() };
            run.report.chains.push(figures);
            let walked = run.chain(chain).await;
            run.unless_lost(chain, walked)?;
        }
    }
    run.file(checkpoints).await?;
    Ok(run.report)
}

struct Run<'a> {
    store: &'a dyn AuditStore,
    scope: PlatformScope,
    keys: &'a [AuditPublicKey],
    /// The chains that the platform's chain says were erased, with where each ended as far as that is said.
    erased: HashMap<String, Option<LastLink>>,
    report: VerifyReport,
}

/// What the platform's chain says when the erasure of a tenant begins, and when it has ended.
pub const ERASURE_BEGUN: &str = "tenant.erasing";
/// As [`ERASURE_BEGUN`].
pub const ERASURE_ENDED: &str = "tenant.erase";

impl Run<'_> {
    async fn chain(&mut self, chain: &Chain) -> Result<()> {
        // What is sealed from here on is left to the next run, so that this one ends.
        let head = self.store.head(&self.scope, chain).await?;
        let (mut seq, mut hash) = (0, [0; 32]);
        while seq < head.seq {
            let page = self.store.sealed(&self.scope, chain, seq, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for sealed in page {
                self.link(chain, (seq, hash), &sealed);
                (seq, hash) = (sealed.seal.seq, sealed.seal.hash);
            }
        }
        for stray in self.store.strays(&self.scope, chain, PAGE).await? {
            let (kind, id) = match stray {
                Stray::Inserted(id) => (ProblemKind::RecordInserted, id),
                Stray::Removed(id) => (ProblemKind::RecordRemoved, id),
            };
            self.problem(kind, chain, None, Some(id));
        }
        let unsealed = self.store.unsealed(&self.scope, chain).await?;
        self.figures(|figures| figures.unsealed = unsealed);
        let mut after = 0;
        loop {
            let page = self.store.checkpoints(&self.scope, chain, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.seq;
            self.checkpoints(chain, &page).await?;
        }
    }

    fn link(&mut self, chain: &Chain, (seq, hash): (i64, [u8; 32]), sealed: &SealedEntry) {
        let seal = &sealed.seal;
        let id = || Some(seal.record_id.to_string());
        self.figures(|figures| figures.sealed += 1);
        if seal.seq != seq + 1 {
            self.problem(ProblemKind::LinkRemoved, chain, Some(seq + 1), None);
        } else if seal.prev_hash != hash {
            self.problem(ProblemKind::LinkBroken, chain, Some(seal.seq), id());
        }
        let Some(record) = &sealed.record else {
            return self.problem(ProblemKind::RecordRemoved, chain, Some(seal.seq), id());
        };
        if record.record_seq != seal.record_seq {
            self.problem(ProblemKind::RecordMoved, chain, Some(seal.seq), id());
        } else if !record.entry.detail_is_sound()
            || record.link(chain, seal.seq, &seal.prev_hash) != seal.hash
        {
            self.problem(ProblemKind::RecordAltered, chain, Some(seal.seq), id());
        } else if record.entry.detail.is_none() && record.entry.detail_digest != sha256("") {
            self.figures(|figures| figures.erased += 1);
        } else if *chain == Chain::Platform {
            self.note_erasure(&record.entry);
        }
    }

    fn note_erasure(&mut self, entry: &Entry) {
        let Some(tenant) = entry.resource.strip_prefix("tenant/") else { return };
        match entry.action.as_str() {
            ERASURE_BEGUN => {
                self.erased.entry(tenant.to_owned()).or_default();
            }
            ERASURE_ENDED => {
                let detail: Option<Erasure> =
                    entry.detail.as_deref().and_then(|text| serde_json::from_str(text).ok());
                let last = detail.and_then(|detail| detail.tenant.last_link);
                self.erased.insert(tenant.to_owned(), last);
            }
            _ => {}
        }
    }

    /// Compares checkpoints of a chain that was erased with where it ended.
    fn after_erasure(&mut self, chain: &Chain, last: Option<&LastLink>, checkpoints: &[Checkpoint]) {
        for checkpoint in checkpoints {
            self.report.checkpoints += 1;
            let hash = || checkpoint.hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let kind = match last {
                _ if !checkpoint.is_signed_by(self.keys) => ProblemKind::BadSignature,
                Some(last) if checkpoint.seq > last.seq => ProblemKind::Truncated,
                Some(last) if checkpoint.seq == last.seq && hash() != last.hash => ProblemKind::Rewritten,
                _ => continue,
            };
            self.problem(kind, chain, Some(checkpoint.seq), None);
        }
    }

    /// Compares checkpoints of one chain with its links.
    async fn checkpoints(&mut self, chain: &Chain, checkpoints: &[Checkpoint]) -> Result<()> {
        let seqs: Vec<_> = checkpoints.iter().map(|checkpoint| checkpoint.seq).collect();
        let hashes: HashMap<_, _> = self.store.hashes(&self.scope, chain, &seqs).await?.into_iter().collect();
        for checkpoint in checkpoints {
            self.report.checkpoints += 1;
            let kind = match hashes.get(&checkpoint.seq) {
                _ if !checkpoint.is_signed_by(self.keys) => ProblemKind::BadSignature,
                None => ProblemKind::Truncated,
                Some(hash) if *hash != checkpoint.hash => ProblemKind::Rewritten,
                Some(_) => continue,
            };
            self.problem(kind, chain, Some(checkpoint.seq), None);
        }
        Ok(())
    }

    async fn file(&mut self, path: &Path) -> Result<()> {
        let mut place = Place::default();
        loop {
            let (lines, next) = match journal::lines(path, place, PAGE as usize).await {
                Err(error) if error.kind() == ErrorKind::NotFound && self.report.sealed() == 0 => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.report.add(problem(ProblemKind::CheckpointsMissing));
                    return Ok(());
                }
                read => read?,
            };
            if lines.is_empty() {
                return Ok(());
            }
            place = next;
            let mut by_chain: HashMap<Chain, Vec<Checkpoint>> = HashMap::new();
            for line in lines {
                match line.checkpoint {
                    Some(checkpoint) => {
                        by_chain.entry(checkpoint.chain.clone()).or_default().push(checkpoint)
                    }
                    None => {
                        let number = Some(line.number);
                        self.report.add(Problem { line: number, ..problem(ProblemKind::BadCheckpoint) });
                    }
                }
            }
            for (chain, checkpoints) in by_chain {
                let compared = self.checkpoints(&chain, &checkpoints).await;
                match (compared, self.erased.get(chain.as_str()).cloned()) {
                    (Err(error), Some(last)) if error.kind() == ErrorKind::NotFound => {
                        self.after_erasure(&chain, last.as_ref(), &checkpoints);
                    }
                    (compared, _) => self.unless_lost(&chain, compared)?,
                }
            }
        }
    }

    /// A chain that is gone or cannot be read is a finding; other errors end the run.
    fn unless_lost(&mut self, chain: &Chain, result: Result<()>) -> Result<()> {
        let kind = match result.as_ref().map_err(Error::kind) {
            // It went while the chains were walked.
            Err(ErrorKind::NotFound) if self.erased.contains_key(chain.as_str()) => return Ok(()),
            Err(ErrorKind::NotFound) => ProblemKind::ChainMissing,
            Err(ErrorKind::Corrupted) => ProblemKind::Damaged,
            _ => return result,
        };
        let found = Problem { chain: Some(chain.as_str().to_owned()), ..problem(kind) };
        if !self.report.problems.contains(&found) {
            self.report.add(found);
        }
        Ok(())
    }

    /// Changes the figures of the chain that is being walked.
    fn figures(&mut self, change: impl FnOnce(&mut ChainReport)) {
        if let Some(figures) = self.report.chains.last_mut() {
            change(figures);
        }
    }

    fn problem(&mut self, kind: ProblemKind, chain: &Chain, seq: Option<i64>, record_id: Option<String>) {
        let chain = Some(chain.as_str().to_owned());
        self.report.add(Problem { chain, seq, record_id, ..problem(kind) });
    }
}

/// The detail of the record of an erasure, as far as it is read here.
#[derive(serde::Deserialize)]
struct Erasure {
    tenant: ErasedTenant,
}

#[derive(serde::Deserialize)]
struct ErasedTenant {
    last_link: Option<LastLink>,
}

const fn problem(kind: ProblemKind) -> Problem {
    Problem { kind, chain: None, seq: None, record_id: None, line: None }
}

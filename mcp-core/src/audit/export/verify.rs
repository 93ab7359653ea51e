//! Recomputing chains from an export, without the database.

use std::{
    collections::BTreeMap,
    io::{BufRead, Read as _},
    path::Path,
};

use super::line::{self, Line};
use crate::{
    audit::{
        AuditPublicKey, Chain, ChainReport, Checkpoint, Head, Problem, ProblemKind, SealedEntry,
        VerifyReport,
        entry::sha256,
        journal::{self, Place},
    },
    error::{Error, Result},
};

/// A longer line is part of no export.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Lines of the checkpoint file held at once.
const PAGE: usize = 500;

/// Takes the lines of an export, of one chain or of several, and says whether anything is missing or another.
///
/// A chain must begin at its first link, or where [`resume`](Self::resume) says. It must end with a checkpoint
/// that is signed with a known key: what stands behind the last one could have been written by anybody. That
/// nothing was cut off behind it show only checkpoints from elsewhere: [`compare`](Self::compare). What was
/// delivered more than once counts as once: leave repeated lines out before. It holds some bytes a chain,
/// however long the chains are.
#[derive(Debug)]
pub struct ExportVerifier {
    keys: Vec<AuditPublicKey>,
    chains: BTreeMap<Chain, Walk>,
    report: VerifyReport,
    lines: u64,
}

#[derive(Debug, Default)]
struct Walk {
    seq: i64,
    hash: [u8; 32],
    /// The last link that a good checkpoint names.
    signed: i64,
    figures: ChainReport,
}

impl ExportVerifier {
    /// A verifier that trusts these keys.
    #[must_use]
    pub fn new(keys: &[AuditPublicKey]) -> Self {
        Self { keys: keys.to_vec(), chains: BTreeMap::new(), report: VerifyReport::default(), lines: 0 }
    }

    /// Lets a chain begin behind this link, which an earlier verification came to.
    #[must_use]
    pub fn resume(mut self, chain: Chain, head: Head) -> Self {
        let figures = ChainReport { chain: chain.as_str().to_owned(), ..ChainReport::default() };
        self.chains.insert(chain, Walk { seq: head.seq, hash: head.hash, signed: head.seq, figures });
        self
    }

    /// Takes all lines of `file`. Blocks while it reads.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it cannot be read.
    pub fn read(&mut self, mut file: impl BufRead) -> Result<()> {
        let unreadable =
            |error| Error::unavailable("audit.verify", "the export cannot be read").with_source(error);
        let mut line = Vec::new();
        loop {
            line.clear();
            let most = MAX_LINE_BYTES as u64 + 1;
            if file.by_ref().take(most).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                return Ok(());
            }
            if line.len() > MAX_LINE_BYTES && !line.ends_with(b"\n") {
                file.skip_until(b'\n').map_err(unreadable)?;
            }
            self.line(line.strip_suffix(b"\n").unwrap_or(&line));
        }
    }

    /// Takes one line, without its end.
    pub fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        let read = if line.len() > MAX_LINE_BYTES { None } else { line::parse(line) };
        match read {
            Some(Line::Link(chain, sealed)) => self.link(&chain, &sealed),
            Some(Line::Checkpoint(checkpoint)) => self.checkpoint(&checkpoint),
            None => {
                let problem = Problem { line: Some(self.lines), ..of(ProblemKind::BadLine, None, None) };
                self.report.add(problem);
            }
        }
    }

    /// Compares with the file of checkpoints that the sealer wrote: it names every link that there was.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) and [`Unavailable`](crate::ErrorKind::Unavailable) if the file
    /// cannot be read.
    pub async fn compare(&mut self, checkpoints: &Path) -> Result<()> {
        let mut place = Place::default();
        let mut last: BTreeMap<Chain, i64> = BTreeMap::new();
        loop {
            let (lines, next) = journal::lines(checkpoints, place, PAGE).await?;
            if lines.is_empty() {
                break;
            }
            place = next;
            for checkpoint in lines.into_iter().filter_map(|line| line.checkpoint) {
                if self.chains.contains_key(&checkpoint.chain) && checkpoint.is_signed_by(&self.keys) {
                    let seq = last.entry(checkpoint.chain).or_default();
                    *seq = checkpoint.seq.max(*seq);
                }
            }
        }
        for (chain, seq) in last {
            if self.chains.get(&chain).is_some_and(|walk| walk.seq < seq) {
                self.report.add(of(ProblemKind::Truncated, Some(&chain), Some(seq)));
            }
        }
        Ok(())
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> VerifyReport {
        for (chain, walk) in self.chains {
            if walk.signed < walk.seq {
                self.report.add(of(ProblemKind::Unsigned, Some(&chain), Some(walk.signed + 1)));
            }
            self.report.chains.push(walk.figures);
        }
        self.report
    }

    fn link(&mut self, chain: &Chain, sealed: &SealedEntry) {
        let walk = self.chains.entry(chain.clone()).or_insert_with(|| {
            let figures = ChainReport { chain: chain.as_str().to_owned(), ..ChainReport::default() };
            Walk { figures, ..Walk::default() }
        });
        let seal = &sealed.seal;
        walk.figures.sealed += 1;
        let found = if seal.seq <= walk.seq {
            Some((ProblemKind::LinkBroken, seal.seq))
        } else if seal.seq != walk.seq + 1 {
            Some((ProblemKind::LinkRemoved, walk.seq + 1))
        } else if seal.prev_hash != walk.hash {
            Some((ProblemKind::LinkBroken, seal.seq))
        } else {
            None
        };
        let record = match &sealed.record {
            None => Some(ProblemKind::RecordRemoved),
            Some(record) if record.record_seq != seal.record_seq => Some(ProblemKind::RecordMoved),
            Some(record)
                if record.entry.id != seal.record_id
                    || !record.entry.detail_is_sound()
                    || record.link(chain, seal.seq, &seal.prev_hash) != seal.hash =>
            {
                Some(ProblemKind::RecordAltered)
            }
            Some(record) => {
                let erased = record.entry.detail.is_none() && record.entry.detail_digest != sha256("");
                walk.figures.erased += u64::from(erased);
                None
            }
        };
        (walk.seq, walk.hash) = (seal.seq, seal.hash);
        let id = Some(seal.record_id.to_string());
        if let Some((kind, seq)) = found {
            self.report.add(Problem { line: Some(self.lines), ..of(kind, Some(chain), Some(seq)) });
        }
        if let Some(kind) = record {
            let problem = of(kind, Some(chain), Some(seal.seq));
            self.report.add(Problem { record_id: id, line: Some(self.lines), ..problem });
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.report.checkpoints += 1;
        let walk = self.chains.get_mut(&checkpoint.chain);
        let kind = match walk {
            _ if !checkpoint.is_signed_by(&self.keys) => ProblemKind::BadSignature,
            Some(walk) if walk.seq == checkpoint.seq && walk.hash == checkpoint.hash => {
                walk.signed = checkpoint.seq;
                return;
            }
            Some(walk) if walk.seq == checkpoint.seq => ProblemKind::Rewritten,
            Some(walk) if walk.seq > checkpoint.seq => ProblemKind::LinkBroken,
            _ => ProblemKind::Truncated,
        };
        let problem = of(kind, Some(&checkpoint.chain), Some(checkpoint.seq));
        self.report.add(Problem { line: Some(self.lines), ..problem });
    }
}

fn of(kind: ProblemKind, chain: Option<&Chain>, seq: Option<i64>) -> Problem {
    let chain = chain.map(|chain| chain.as_str().to_owned());
    Problem { kind, chain, seq, record_id: None, line: None }
}

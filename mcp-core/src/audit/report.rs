//! What verification found.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// What is wrong at one place of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The record of a link is gone.
    RecordRemoved,
    /// A record is not what was sealed.
    RecordAltered,
    /// A record stands at another place than where it was sealed.
    RecordMoved,
    /// A record was put in behind the sealer's back.
    RecordInserted,
    /// A link is gone.
    LinkRemoved,
    /// A link does not continue the one before it, or its hash is wrong.
    LinkBroken,
    /// A signed checkpoint speaks of a link that is gone from the end of the chain.
    Truncated,
    /// A signed checkpoint gives a link another hash.
    Rewritten,
    /// A checkpoint has no good signature of a known key.
    BadSignature,
    /// A line of the file is no checkpoint.
    BadCheckpoint,
    /// There are links, but no file of checkpoints.
    CheckpointsMissing,
    /// A whole chain is gone.
    ChainMissing,
    /// A stored value cannot be read at all.
    Damaged,
    /// A line of an export is neither a link nor a checkpoint.
    BadLine,
    /// Links of an export stand behind its last good checkpoint: anybody could have written them.
    Unsigned,
}

impl ProblemKind {
    const fn describe(self) -> &'static str {
        match self {
            Self::RecordRemoved => "the record has been removed",
            Self::RecordAltered => "the record has been altered",
            Self::RecordMoved => "the record has been moved",
            Self::RecordInserted => "the record has been inserted",
            Self::LinkRemoved => "the link has been removed",
            Self::LinkBroken => "the link does not continue the chain",
            Self::Truncated => "the chain ends before this link, which a checkpoint names",
            Self::Rewritten => "the link is another than the one a checkpoint names",
            Self::BadSignature => "a checkpoint has no good signature of a known key",
            Self::BadCheckpoint => "a line of the checkpoint file is no checkpoint",
            Self::CheckpointsMissing => "the checkpoint file is missing",
            Self::ChainMissing => "the chain is gone",
            Self::Damaged => "the stored data cannot be read",
            Self::BadLine => "the line is part of no export",
            Self::Unsigned => "from this link on, no checkpoint follows",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema), schema(as = AuditProblem))]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// The chain's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The number of the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// The line of the checkpoint file, or of the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut part = |name: &str, value: Option<&dyn fmt::Display>| {
            value.map_or(Ok(()), |value| write!(f, "{name} {value}: "))
        };
        part("chain", self.chain.as_ref().map(|value| value as _))?;
        part("link", self.seq.as_ref().map(|value| value as _))?;
        part("record", self.record_id.as_ref().map(|value| value as _))?;
        part("line", self.line.as_ref().map(|value| value as _))?;
        f.write_str(self.kind.describe())
    }
}

/// One chain in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct ChainReport {
    /// The chain's name.
    pub chain: String,
    /// Records linked.
    pub sealed: u64,
    /// Records not linked yet.
    pub unsealed: u64,
    /// Linked records whose detail has been erased.
    pub erased: u64,
}

/// What verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The chains, in order.
    pub chains: Vec<ChainReport>,
    /// Checkpoints compared, those in the database and those in the file.
    pub checkpoints: u64,
    /// The first problems, at most [`MAX_PROBLEMS`](Self::MAX_PROBLEMS).
    pub problems: Vec<Problem>,
    /// How many more there were.
    pub omitted: u64,
}

impl VerifyReport {
    /// At most this many problems are listed; the rest are counted.
    pub const MAX_PROBLEMS: usize = 1000;

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }

    /// Records linked, in all chains.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.chains.iter().map(|chain| chain.sealed).sum()
    }

    /// Records not linked yet, in all chains.
    #[must_use]
    pub fn unsealed(&self) -> u64 {
        self.chains.iter().map(|chain| chain.unsealed).sum()
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < Self::MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.omitted += 1;
        }
    }
}

/// One line: `3 chains, 57 records sealed, 2 not yet sealed: intact`.
impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chains = self.chains.len();
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let (sealed, unsealed) = (self.sealed(), self.unsealed());
        write!(f, "{chains} chain{}, {sealed} record{} sealed, ", plural(chains as u64), plural(sealed))?;
        write!(f, "{unsealed} not yet sealed: ")?;
        match self.problems.len() as u64 + self.omitted {
            0 => f.write_str("intact"),
            1 => f.write_str("1 problem"),
            found => write!(f, "{found} problems"),
        }
    }
}

impl Serialize for VerifyReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("VerifyReport", 7)?;
        report.serialize_field("intact", &self.is_intact())?;
        report.serialize_field("sealed", &self.sealed())?;
        report.serialize_field("unsealed", &self.unsealed())?;
        report.serialize_field("checkpoints", &self.checkpoints)?;
        report.serialize_field("chains", &self.chains)?;
        report.serialize_field("problems", &self.problems)?;
        report.serialize_field("omitted", &self.omitted)?;
        report.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_it_all() {
        let mut report = VerifyReport::default();
        report.chains.push(ChainReport { chain: "platform".into(), sealed: 5, unsealed: 2, erased: 0 });
        assert_eq!(report.to_string(), "1 chain, 5 records sealed, 2 not yet sealed: intact");
        assert_eq!(serde_json::to_value(&report).unwrap()["intact"], true);
        let problem = Problem {
            kind: ProblemKind::RecordRemoved,
            chain: Some("acme".into()),
            seq: Some(3),
            record_id: Some("r".into()),
            line: None,
        };
        assert_eq!(problem.to_string(), "chain acme: link 3: record r: the record has been removed");
        for _ in 0..=VerifyReport::MAX_PROBLEMS {
            report.add(problem.clone());
        }
        assert!(report.to_string().ends_with("1001 problems"), "{report}");
        assert_eq!(serde_json::to_value(&report).unwrap()["intact"], false);
    }
}

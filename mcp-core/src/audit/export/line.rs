//! One line of an export: a link with its record, or a checkpoint.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    audit::{Chain, Checkpoint, Entry, Seal, SealedEntry, StoredEntry, checkpoint::parse_chain},
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
};

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Link,
    Checkpoint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkLine<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    chain: Cow<'a, str>,
    seq: i64,
    record_id: Uuid,
    record_seq: i64,
    prev_hash: String,
    hash: String,
    /// Null where the record is gone.
    record: Option<RecordLine<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine<'a> {
    id: Uuid,
    record_seq: i64,
    time: Timestamp,
    actor: Cow<'a, str>,
    action: Cow<'a, str>,
    resource: Cow<'a, str>,
    outcome: Cow<'a, str>,
    request_id: Cow<'a, str>,
    /// The stored text, byte for byte: its digest is part of the chain. Null where there is none.
    detail: Option<Cow<'a, RawValue>>,
    /// The stored text where it is no JSON, which only happens to a log that someone has altered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail_text: Option<Cow<'a, str>>,
    detail_digest: String,
}

#[derive(Serialize, Deserialize)]
struct CheckpointLine {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(flatten)]
    checkpoint: Checkpoint,
}

/// A line that was read.
pub(super) enum Line {
    Link(Chain, Box<SealedEntry>),
    Checkpoint(Checkpoint),
}

/// One line, without its end. `with_detail` says whether the detail is part of it.
pub(super) fn link_line(chain: &Chain, sealed: &SealedEntry, with_detail: bool) -> Result<String> {
    let seal = &sealed.seal;
    let record = sealed.record.as_ref().map(|stored| record_line(stored, with_detail));
    write(&LinkLine {
        kind: Kind::Link,
        chain: chain.as_str().into(),
        seq: seal.seq,
        record_id: seal.record_id,
        record_seq: seal.record_seq,
        prev_hash: STANDARD.encode(seal.prev_hash),
        hash: STANDARD.encode(seal.hash),
        record,
    })
}

/// One line, without its end.
pub(super) fn checkpoint_line(checkpoint: &Checkpoint) -> Result<String> {
    write(&CheckpointLine { kind: Kind::Checkpoint, checkpoint: checkpoint.clone() })
}

/// Reads a line; `None` if it is none of these.
pub(super) fn parse(line: &[u8]) -> Option<Line> {
    /// Enough of a line to tell what it is.
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: Kind,
    }
    let head: Head = serde_json::from_slice(line).ok()?;
    match head.kind {
        Kind::Checkpoint => {
            let line: CheckpointLine = serde_json::from_slice(line).ok()?;
            Some(Line::Checkpoint(line.checkpoint))
        }
        Kind::Link => {
            let line: LinkLine<'_> = serde_json::from_slice(line).ok()?;
            let seal = Seal {
                seq: line.seq,
                record_id: line.record_id,
                record_seq: line.record_seq,
                prev_hash: digest(&line.prev_hash)?,
                hash: digest(&line.hash)?,
            };
            let record = match line.record {
                None => None,
                Some(record) => Some(stored(record)?),
            };
            Some(Line::Link(parse_chain(&line.chain).ok()?, Box::new(SealedEntry { seal, record })))
        }
    }
}

fn record_line(stored: &StoredEntry, with_detail: bool) -> RecordLine<'_> {
    let entry = &stored.entry;
    let text = entry.detail.as_deref().filter(|_| with_detail);
    // A line end is white space to JSON, and the end of the line to whoever reads the file.
    let raw = text.filter(|text| !text.contains(['\n', '\r']));
    let raw = raw.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    // White space around a value would be lost, and `null` says that there is none.
    let raw = raw.filter(|raw| raw.get() != "null" && text.is_some_and(|text| text.len() == raw.get().len()));
    RecordLine {
        id: entry.id,
        record_seq: stored.record_seq,
        time: entry.time,
        actor: entry.actor.as_str().into(),
        action: entry.action.as_str().into(),
        resource: entry.resource.as_str().into(),
        outcome: entry.outcome.as_str().into(),
        request_id: entry.request_id.as_str().into(),
        detail: raw.map(Cow::Borrowed),
        detail_text: text.filter(|_| raw.is_none()).map(Cow::Borrowed),
        detail_digest: STANDARD.encode(entry.detail_digest),
    }
}

fn stored(line: RecordLine<'_>) -> Option<StoredEntry> {
    let detail = match (line.detail, line.detail_text) {
        (Some(raw), None) => Some(raw.get().to_owned()),
        (None, text) => text.map(Cow::into_owned),
        (Some(_), Some(_)) => return None,
    };
    let entry = Entry {
        id: line.id,
        time: line.time,
        actor: line.actor.into_owned(),
        action: line.action.into_owned(),
        resource: line.resource.into_owned(),
        outcome: line.outcome.into_owned(),
        request_id: line.request_id.into_owned(),
        detail,
        detail_digest: digest(&line.detail_digest)?,
    };
    Some(StoredEntry { record_seq: line.record_seq, entry })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

pub(super) fn write(line: &impl Serialize) -> Result<String> {
    serde_json::to_string(line).map_err(|error| {
        Error::new(ErrorKind::Internal, "audit.export", "an audit record has no JSON form").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{AuditKey, entry::sha256};

    fn sealed(detail: Option<String>, actor: String, micros: i64) -> SealedEntry {
        let entry = Entry {
            id: Uuid::nil(),
            time: Timestamp::from_micros(micros),
            actor,
            action: "a.b".into(),
            resource: "r/\u{2028}\"".into(),
            outcome: "done".into(),
            request_id: String::new(),
            detail_digest: sha256(detail.as_deref().unwrap_or_default()),
            detail,
        };
        let seal = Seal { seq: 3, record_id: Uuid::nil(), record_seq: 7, prev_hash: [1; 32], hash: [2; 32] };
        SealedEntry { seal, record: Some(StoredEntry { record_seq: 7, entry }) }
    }

    proptest! {
        #[test]
        fn a_line_comes_back_as_it_was(
            detail in proptest::option::of(".{0,40}"), json in any::<bool>(), actor in ".{0,20}",
            micros in 0..4_000_000_000_000_000_i64,
        ) {
            let detail = detail.map(|text| if json { serde_json::json!({ "x": text }).to_string() } else { text });
            let written = sealed(detail, actor, micros);
            let line = link_line(&Chain::Platform, &written, true).unwrap();
            prop_assert!(!line.contains('\n'));
            let Some(Line::Link(chain, read)) = parse(line.as_bytes()) else { panic!("{line}") };
            prop_assert_eq!(chain, Chain::Platform);
            prop_assert_eq!(read.seal, written.seal);
            prop_assert_eq!(read.record, written.record);
        }

        #[test]
        fn nothing_makes_reading_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }

    #[test]
    fn checkpoints_and_gone_records_come_back_too() {
        let key = AuditKey::ephemeral().unwrap();
        let signed = Checkpoint::sign(&Chain::Platform, 1, [3; 32], Timestamp::from_micros(1_000_001), &key);
        let line = checkpoint_line(&signed).unwrap();
        assert!(matches!(parse(line.as_bytes()), Some(Line::Checkpoint(read)) if read == signed), "{line}");
        let gone = SealedEntry { record: None, ..sealed(None, "u".into(), 1) };
        let line = link_line(&Chain::Platform, &gone, true).unwrap();
        assert!(
            matches!(parse(line.as_bytes()), Some(Line::Link(_, read)) if read.record.is_none()),
            "{line}"
        );
    }
}

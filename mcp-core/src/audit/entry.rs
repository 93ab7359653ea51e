//! A record as it is stored, and the content its chain commits to.

use aws_lc_rs::digest::{Context, SHA256, digest};
use uuid::Uuid;

use super::{AuditRecord, Chain};
use crate::{
    clock::Timestamp,
    error::{Detail, Error, ErrorKind, Result},
};

/// The largest detail a record may carry, in bytes of its JSON form.
pub const MAX_DETAIL_BYTES: usize = 16 * 1024;

/// No other field may be longer than this, in bytes.
const MAX_FIELD_BYTES: usize = 1024;

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// A record as it is stored: with id, time, and its detail as the text that is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unique (UUIDv7).
    pub id: Uuid,
    /// When it was written.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub resource: String,
    /// How it ended: `done` or `denied`.
    pub outcome: String,
    /// The request it was part of.
    pub request_id: String,
    /// The detail as stored; `None` if there was none, or if it has been erased.
    pub detail: Option<String>,
    /// SHA-256 of the detail as stored. It outlives the detail, so that erasure keeps the chain.
    pub detail_digest: [u8; 32],
}

impl Entry {
    /// The entry `record` becomes at `time`, under a fresh id; for [`AuditStore::append`](super::AuditStore).
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for a detail of more than [`MAX_DETAIL_BYTES`].
    pub fn new(record: AuditRecord, time: Timestamp) -> Result<Self> {
        let detail = match &record.detail {
            serde_json::Value::Null => None,
            detail => Some(detail.to_string()),
        };
        within("detail", detail.as_ref().map_or(0, String::len), MAX_DETAIL_BYTES)?;
        within("actor", record.actor.len(), MAX_FIELD_BYTES)?;
        within("action", record.action.len(), MAX_FIELD_BYTES)?;
        within("resource", record.resource.len(), MAX_FIELD_BYTES)?;
        within("request_id", record.request_id.len(), MAX_FIELD_BYTES)?;
        Ok(Self {
            id: Uuid::now_v7(),
            time,
            actor: record.actor,
            action: record.action.into_owned(),
            resource: record.resource,
            outcome: record.outcome.as_str().to_owned(),
            request_id: record.request_id,
            detail_digest: sha256(detail.as_deref().unwrap_or_default()),
            detail,
        })
    }

    /// The hash that links this record, at `record_seq` in its table, behind `prev` as number `seq` of `chain`.
    ///
    /// Every part is preceded by its length, so that no two records have the same form.
    #[must_use]
    pub fn link(&self, chain: &Chain, seq: i64, record_seq: i64, prev: &[u8; 32]) -> [u8; 32] {
        let time = self.time.as_micros().to_be_bytes();
        let mut context = Context::new(&SHA256);
        for part in [
            b"mcp-audit-1".as_slice(),
            chain.as_str().as_bytes(),
            &seq.to_be_bytes(),
            prev,
            &record_seq.to_be_bytes(),
            self.id.as_bytes(),
            &time,
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.resource.as_bytes(),
            self.outcome.as_bytes(),
            self.request_id.as_bytes(),
            &self.detail_digest,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        fixed(context.finish().as_ref())
    }

    /// Whether the detail is what was hashed, or erased.
    #[must_use]
    pub fn detail_is_sound(&self) -> bool {
        self.detail.as_deref().is_none_or(|detail| sha256(detail) == self.detail_digest)
    }
}

pub(crate) fn sha256(text: &str) -> Digest {
    fixed(digest(&SHA256, text.as_bytes()).as_ref())
}

fn fixed(bytes: &[u8]) -> Digest {
    let mut fixed = [0; 32];
    fixed.copy_from_slice(bytes);
    fixed
}

fn within(field: &'static str, len: usize, limit: usize) -> Result<()> {
    if len <= limit {
        return Ok(());
    }
    let message = format!("the `{field}` of an audit record may have {limit} bytes");
    Err(Error::new(ErrorKind::TooLarge, "audit.append", message)
        .with_detail(Detail::Limit { bytes: limit as u64 })
        .with_detail(Detail::Field { path: field.to_owned(), nearest: None }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::Outcome;

    fn record() -> AuditRecord {
        AuditRecord {
            actor: "u1".into(),
            action: "tenant.suspend".into(),
            resource: "tenant/acme".into(),
            outcome: Outcome::Done,
            request_id: "r1".into(),
            detail: json!({"why": "unpaid"}),
        }
    }

    #[test]
    fn every_field_is_part_of_the_link() {
        let entry = Entry::new(record(), Timestamp::from_micros(1)).unwrap();
        let base = entry.link(&Chain::Platform, 1, 9, &[0; 32]);
        let altered = |alter: &dyn Fn(&mut Entry)| {
            let mut copy = entry.clone();
            alter(&mut copy);
            copy.link(&Chain::Platform, 1, 9, &[0; 32])
        };
        for (field, hash) in [
            ("id", altered(&|e| e.id = Uuid::nil())),
            ("time", altered(&|e| e.time = Timestamp::from_micros(2))),
            ("actor", altered(&|e| e.actor.push('x'))),
            ("action", altered(&|e| e.action.push('x'))),
            ("resource", altered(&|e| e.resource.push('x'))),
            ("outcome", altered(&|e| e.outcome = "denied".into())),
            ("request_id", altered(&|e| e.request_id.push('x'))),
            ("digest", altered(&|e| e.detail_digest[0] ^= 1)),
            ("border", altered(&|e| (e.actor, e.action) = ("u1t".into(), "enant.suspend".into()))),
            ("seq", entry.link(&Chain::Platform, 2, 9, &[0; 32])),
            ("place", entry.link(&Chain::Platform, 1, 8, &[0; 32])),
            ("prev", entry.link(&Chain::Platform, 1, 9, &[1; 32])),
        ] {
            assert_ne!(hash, base, "{field}");
        }
    }

    #[test]
    fn an_erased_detail_keeps_the_link_and_an_altered_one_shows() {
        let mut entry = Entry::new(record(), Timestamp::from_micros(1)).unwrap();
        let before = entry.link(&Chain::Platform, 1, 9, &[0; 32]);
        entry.detail = Some("{}".into());
        assert!(!entry.detail_is_sound());
        entry.detail = None;
        assert!(entry.detail_is_sound());
        assert_eq!(entry.link(&Chain::Platform, 1, 9, &[0; 32]), before);
    }

    #[test]
    fn a_record_is_bounded() {
        let big = record().with_detail(json!("x".repeat(MAX_DETAIL_BYTES)));
        assert_eq!(Entry::new(big, Timestamp::from_micros(1)).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}

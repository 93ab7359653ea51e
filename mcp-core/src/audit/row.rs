//! Rows of the audit tables, the same in both databases.

use uuid::Uuid;

use super::{
    Entry, Seal, SealedEntry, StoredEntry,
    store::{damaged, digest_of},
};
use crate::{clock::Timestamp, error::Result};

#[derive(sqlx::FromRow)]
pub(super) struct EntryRow {
    seq: i64,
    id: String,
    time: i64,
    actor: String,
    action: String,
    resource: String,
    outcome: String,
    request_id: String,
    detail: Option<String>,
    detail_digest: Vec<u8>,
}

impl EntryRow {
    pub(super) fn read(self) -> Result<StoredEntry> {
        let entry = Entry {
            id: parse_id(&self.id)?,
            time: Timestamp::from_micros(self.time),
            actor: self.actor,
            action: self.action,
            resource: self.resource,
            outcome: self.outcome,
            request_id: self.request_id,
            detail: self.detail,
            detail_digest: digest_of(&self.detail_digest)?,
        };
        Ok(StoredEntry { record_seq: self.seq, entry })
    }
}

/// A link with its record, all of whose columns are null where it is gone.
#[derive(sqlx::FromRow)]
pub(super) struct SealRow {
    link: i64,
    record_id: String,
    record_seq: i64,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
    seq: Option<i64>,
    id: Option<String>,
    time: Option<i64>,
    actor: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    outcome: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
    detail_digest: Option<Vec<u8>>,
}

impl SealRow {
    pub(super) fn read(self) -> Result<SealedEntry> {
        let seal = Seal {
            seq: self.link,
            record_id: parse_id(&self.record_id)?,
            record_seq: self.record_seq,
            prev_hash: digest_of(&self.prev_hash)?,
            hash: digest_of(&self.hash)?,
        };
        let record = match self.seq {
            None => None,
            Some(seq) => {
                let row = EntryRow {
                    seq,
                    id: self.id.unwrap_or_default(),
                    time: self.time.unwrap_or_default(),
                    actor: self.actor.unwrap_or_default(),
                    action: self.action.unwrap_or_default(),
                    resource: self.resource.unwrap_or_default(),
                    outcome: self.outcome.unwrap_or_default(),
                    request_id: self.request_id.unwrap_or_default(),
                    detail: self.detail,
                    detail_digest: self.detail_digest.unwrap_or_default(),
                };
                Some(row.read()?)
            }
        };
        Ok(SealedEntry { seal, record })
    }
}

/// Of the last record that was looked at and the one behind it: the former, if there is the latter.
pub(super) fn more_behind(ids: &[String]) -> Result<Option<Uuid>> {
    match ids {
        [last, _behind] => parse_id(last).map(Some),
        _ => Ok(None),
    }
}

fn parse_id(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| damaged("id"))
}

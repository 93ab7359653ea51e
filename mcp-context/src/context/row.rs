//! Contexts and messages as rows, and the statements both SQL backends read.

use mcp_core::{Error, Result, clock::Timestamp, scope::TenantId};
use serde_json::{Map, Value};

use super::{Appended, ContextHead, ContextId, Message, Role, store};
use crate::sql::damaged;

/// How long a request with an idempotency key may be tried again.
pub(super) const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Old keys removed beside each new one: more than one, so that they grow fewer.
pub(super) const FORGET: i64 = 8;

macro_rules! heads {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, session_id, version, messages, created_at, updated_at FROM context ",
            $rest
        )
    };
}

pub(super) const HEAD: &str = heads!("WHERE tenant_id = $1 AND id = $2");
pub(super) const WHOLE: &str = "SELECT id, user_id, session_id, version, messages, created_at, updated_at, data \
     FROM context WHERE tenant_id = $1 AND id = $2";
pub(super) const DATA: &str = "SELECT data FROM context WHERE tenant_id = $1 AND id = $2";
/// The filters are empty where they do not count; an index is used for each.
pub(super) const LIST: &str = heads!("WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
pub(super) const LIST_OF_USER: &str =
    heads!("WHERE tenant_id = $1 AND id < $2 AND user_id = $4 ORDER BY id DESC LIMIT $3");
pub(super) const LIST_OF_SESSION: &str =
    heads!("WHERE tenant_id = $1 AND id < $2 AND session_id = $4 ORDER BY id DESC LIMIT $3");
pub(super) const LIST_OF_BOTH: &str =
    heads!("WHERE tenant_id = $1 AND id < $2 AND user_id = $4 AND session_id = $5 ORDER BY id DESC LIMIT $3");
/// Above every id.
pub(super) const LAST_ID: &str = "~";
pub(super) const COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM context WHERE tenant_id = $1 LIMIT $2) AS found";
pub(super) const VERSION: &str = "SELECT version FROM context WHERE tenant_id = $1 AND id = $2";
pub(super) const INSERT: &str = "INSERT INTO context (tenant_id, id, user_id, session_id, data, version, messages, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 1, 0, $6, $6)";
pub(super) const PATCH: &str = "UPDATE context SET version = version + 1, data = $3, \
     updated_at = CASE WHEN updated_at > $4 THEN updated_at ELSE $4 END \
     WHERE tenant_id = $1 AND id = $2 AND version = $5 \
     RETURNING id, user_id, session_id, version, messages, created_at, updated_at";
pub(super) const DELETE: &str = "DELETE FROM context WHERE tenant_id = $1 AND id = $2 AND \
     ($3 IS NULL OR version = $3) RETURNING user_id, version";
pub(super) const DELETE_MESSAGES: &str = "DELETE FROM message WHERE tenant_id = $1 AND context_id = $2";
pub(super) const MESSAGES: &str = "SELECT seq, role, content, metadata, author, created_at FROM message \
     WHERE tenant_id = $1 AND context_id = $2 AND seq > $3 ORDER BY seq LIMIT $4";
pub(super) const NEWEST: &str = "SELECT seq, role, content, metadata, author, created_at FROM message \
     WHERE tenant_id = $1 AND context_id = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4";
/// Waits for a request with the same key that is under way.
pub(super) const CLAIM: &str = "INSERT INTO context_request (tenant_id, key, fingerprint, context_id, version, \
     first_seq, last_seq, created_at) VALUES ($1, $2, $3, $4, 1, 0, 0, $5) ON CONFLICT (tenant_id, key) DO NOTHING";
pub(super) const CLAIMED: &str = "SELECT fingerprint, context_id, version, first_seq, last_seq \
     FROM context_request WHERE tenant_id = $1 AND key = $2";
pub(super) const ANSWERED: &str = "UPDATE context_request SET version = $3, first_seq = $4, last_seq = $5 \
     WHERE tenant_id = $1 AND key = $2";
pub(super) const FORGET_KEYS: &str = "DELETE FROM context_request WHERE tenant_id = $1 AND key IN \
     (SELECT key FROM context_request WHERE tenant_id = $1 AND created_at < $2 ORDER BY created_at LIMIT $3)";

pub(super) type HeadRow = (String, String, Option<String>, i64, i64, i64, i64);
/// A head and its data.
pub(super) type WholeRow = (String, String, Option<String>, i64, i64, i64, i64, String);
pub(super) type MessageRow = (i64, String, String, String, String, i64);
pub(super) type RequestRow = (Vec<u8>, String, i64, i64, i64);

pub(super) fn head(tenant: &TenantId, row: HeadRow) -> Result<ContextHead> {
    let (id, user_id, session_id, version, messages, created, updated) = row;
    Ok(ContextHead {
        id: ContextId::parse(&id).map_err(|error| damaged("context.read", error))?,
        tenant: tenant.clone(),
        user_id,
        session_id,
        created_at: Timestamp::from_micros(created),
        updated_at: Timestamp::from_micros(updated),
        version,
        messages,
    })
}

pub(super) fn whole(tenant: &TenantId, row: WholeRow) -> Result<(ContextHead, Map<String, Value>)> {
    let (id, user, session, version, messages, created, updated, text) = row;
    Ok((head(tenant, (id, user, session, version, messages, created, updated))?, data(&text)?))
}

pub(super) fn message(row: MessageRow) -> Result<Message> {
    let (seq, role, content, metadata, author, created) = row;
    const OPERATION: &str = "context.messages";
    let role = Role::parse(&role).map_err(|error| damaged(OPERATION, error))?;
    let content = serde_json::from_str(&content).map_err(|error| damaged(OPERATION, error))?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| damaged(OPERATION, error))?;
    Ok(Message { seq, role, content, metadata, author, created_at: Timestamp::from_micros(created) })
}

pub(super) fn data(text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| damaged("context.read", error))
}

/// What an earlier request with the same key came to.
pub(super) struct Earlier {
    pub(super) id: ContextId,
    pub(super) appended: Appended,
}

impl Earlier {
    pub(super) fn read(operation: &'static str, row: RequestRow, fingerprint: &[u8]) -> Result<Self> {
        let (stored, id, version, first_seq, last_seq) = row;
        if stored != fingerprint {
            return Err(store::key_reused(operation));
        }
        let id = ContextId::parse(&id).map_err(|error| damaged(operation, error))?;
        Ok(Self { id, appended: Appended { version, first_seq, last_seq } })
    }
}

/// Why a change of a context found nothing to change: `version` is the stored one, if there is any.
pub(super) fn refusal(operation: &'static str, version: Option<i64>) -> Error {
    version.map_or_else(|| store::not_found(operation), |current| store::stale(operation, current))
}

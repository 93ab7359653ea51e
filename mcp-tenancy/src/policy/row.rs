//! Policies as rows, and the statements both SQL backends read.

use mcp_core::{
    Error, Result, Scope, audit::AuditRecord, clock::Timestamp, event::Event, scope::PrincipalId,
};
use serde_json::{Value, json};

use super::{Language, PolicyHead, PolicyText, PolicyVersion, version::state};
use crate::sql::damaged;

macro_rules! heads {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT version, language, note, author, created_at, validated_at",
            $columns,
            " FROM policy_version ",
            $rest
        )
    };
}

pub(super) const BY_VERSION: &str = heads!(", text, data", "WHERE tenant_id = $1 AND version = $2");
pub(super) const PAGE: &str =
    heads!("", "WHERE tenant_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3");
pub(super) const ACTIVE: &str = "SELECT active FROM policy_state WHERE tenant_id = $1";
pub(super) const NEXT: &str = "INSERT INTO policy_state (tenant_id, last, active, changed_at) \
     VALUES ($1, 1, 0, $2) ON CONFLICT (tenant_id) DO UPDATE SET last = policy_state.last + 1, changed_at = $2 \
     RETURNING last";
pub(super) const INSERT: &str = "INSERT INTO policy_version (tenant_id, version, language, text, data, note, \
     author, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
pub(super) const PRUNE: &str = "DELETE FROM policy_version WHERE tenant_id = $1 AND version <= $2 AND version NOT IN \
     (SELECT active FROM policy_state WHERE tenant_id = $1)";
pub(super) const VALIDATED: &str = "UPDATE policy_version SET validated_at = $3 \
     WHERE tenant_id = $1 AND version = $2 AND validated_at IS NULL";
pub(super) const ACTIVATE: &str = "UPDATE policy_state SET active = $2, changed_at = $3 WHERE tenant_id = $1";

/// The columns as the database gives them.
pub(super) type HeadRow = (i64, String, String, String, i64, Option<i64>);
pub(super) type Row = (i64, String, String, String, i64, Option<i64>, String, String);

type Parsed<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(super) fn head(row: HeadRow, active: i64) -> Result<PolicyHead> {
    parse_head(row, active).map_err(|error| damaged("policy.list", error))
}

pub(super) fn version(row: Row, active: i64) -> Result<PolicyVersion> {
    let (version, language, note, author, created, validated, text, data) = row;
    let parsed = || -> Parsed<PolicyVersion> {
        let head = parse_head((version, language, note, author, created, validated), active)?;
        let policy = PolicyText { language: head.language, text, data: serde_json::from_str(&data)? };
        Ok(PolicyVersion { head, policy })
    };
    parsed().map_err(|error| damaged("policy.read", error))
}

fn parse_head(row: HeadRow, active: i64) -> Parsed<PolicyHead> {
    let (version, language, note, author, created, validated) = row;
    Ok(PolicyHead {
        version,
        language: Language::parse(&language)?,
        state: state(version, validated.is_some(), active),
        note,
        author: PrincipalId::parse(&author)?,
        created_at: Timestamp::from_micros(created),
        validated_at: validated.map(Timestamp::from_micros),
    })
}

pub(super) fn data(policy: &PolicyText) -> Result<String> {
    serde_json::to_string(&policy.data)
        .map_err(|error| Error::internal("policy.draft", "the policy cannot be stored").with_source(error))
}

/// What is written beside a change: its event and its audit record. Texts stay in the table.
pub(super) fn change(
    scope: &Scope,
    (verb, done): (&'static str, &'static str),
    version: i64,
    data: Value,
) -> (Event, AuditRecord) {
    let event =
        Event::new(format!("policy.{done}.v1"), "/policies", data.clone()).with_subject(version.to_string());
    let record = AuditRecord::done(scope, format!("policy.{verb}"), format!("policy/{version}"));
    (event, record.with_detail(data))
}

pub(super) fn drafted(scope: &Scope, head: &PolicyHead) -> (Event, AuditRecord) {
    let data = json!({ "version": head.version, "language": head.language, "note": head.note });
    change(scope, ("draft", "drafted"), head.version, data)
}

pub(super) fn activated(scope: &Scope, version: i64, before: i64) -> (Event, AuditRecord) {
    change(scope, ("activate", "activated"), version, json!({ "version": version, "before": before }))
}

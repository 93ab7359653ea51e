//! A tenant's view of its own records.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{AuditFilter, AuditStore, Chain, Entry, MAX_SCAN, Search, Window};
use crate::{
    clock::Timestamp,
    error::{Detail, Error, Result},
    scope::{PlatformScope, Scope},
};

/// The most records on one page.
pub const MAX_PAGE: u32 = 500;

/// Which page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// How many records, at most [`MAX_PAGE`]. Default 100.
    pub limit: u32,
    /// [`AuditPage::next_cursor`] of the page before. Default: the first page.
    pub cursor: Option<String>,
    /// The earliest first. Default: the latest first.
    pub oldest_first: bool,
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self { limit: 100, cursor: None, oldest_first: false }
    }
}

/// One page of records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<AuditView>,
    /// The [`cursor`](AuditQuery::cursor) of the next page; `None` if this is the last.
    pub next_cursor: Option<String>,
}

/// A record as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct AuditView {
    /// Unique (UUIDv7).
    #[cfg_attr(feature = "http-api", schema(value_type = String))]
    pub id: Uuid,
    /// When it was written.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub resource: String,
    /// How it ended.
    pub outcome: String,
    /// The request it was part of.
    pub request_id: String,
    /// Details; null if there are none, or if they have been erased.
    pub detail: Value,
}

impl From<Entry> for AuditView {
    fn from(entry: Entry) -> Self {
        let detail = entry
            .detail
            .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        Self {
            id: entry.id,
            time: entry.time,
            actor: entry.actor,
            action: entry.action,
            resource: entry.resource,
            outcome: entry.outcome,
            request_id: entry.request_id,
            detail,
        }
    }
}

/// A page of the records of the scope's tenant. The principal needs the permission `audit:read`.
///
/// Sealed or not: what has been committed is shown.
///
/// # Errors
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied);
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a limit of 0 or over [`MAX_PAGE`] and for a cursor
/// that is none; those of the store.
pub async fn list(store: &dyn AuditStore, scope: &Scope, query: &AuditQuery) -> Result<AuditPage> {
    search(store, scope, query, &AuditFilter::default()).await
}

/// As [`list`], of the records that match a filter.
///
/// A page looks at no more than [`MAX_SCAN`] records: it may hold fewer than its limit, or none, and have a
/// next page all the same.
///
/// # Errors
/// As [`list`]; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a filter that can match nothing.
pub async fn search(
    store: &dyn AuditStore,
    scope: &Scope,
    query: &AuditQuery,
    filter: &AuditFilter,
) -> Result<AuditPage> {
    scope.require("audit:read")?;
    search_chain(store, &reading_its_own(scope), &Chain::Tenant(scope.tenant().clone()), query, filter).await
}

/// A page of the records of any chain, for operators.
///
/// # Errors
/// As [`list`], but for the permission; [`NotFound`](crate::ErrorKind::NotFound) if there is no such tenant.
pub async fn page(
    store: &dyn AuditStore,
    scope: &PlatformScope,
    chain: &Chain,
    query: &AuditQuery,
) -> Result<AuditPage> {
    search_chain(store, scope, chain, query, &AuditFilter::default()).await
}

/// As [`page`], of the records that match a filter; as with [`search`], a page may be short.
///
/// # Errors
/// As [`page`]; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a filter that can match nothing.
pub async fn search_chain(
    store: &dyn AuditStore,
    scope: &PlatformScope,
    chain: &Chain,
    query: &AuditQuery,
    filter: &AuditFilter,
) -> Result<AuditPage> {
    if query.limit == 0 || query.limit > MAX_PAGE {
        return Err(Error::invalid_input("audit.read", format!("`limit` must be 1 to {MAX_PAGE}"))
            .with_detail(Detail::Field { path: "limit".into(), nearest: None }));
    }
    filter.check()?;
    let after = query.cursor.as_deref().map(|text| Uuid::parse_str(text).map_err(|_| unknown_cursor()));
    let window = Window { after: after.transpose()?, newest_first: !query.oldest_first };
    let found =
        store.find(scope, chain, &Search { window, filter, limit: query.limit, scan: MAX_SCAN }).await?;
    Ok(AuditPage {
        records: found.records.into_iter().map(|stored| stored.entry.into()).collect(),
        next_cursor: found.next.map(|id| id.to_string()),
    })
}

/// The scope in which a tenant's own records are read for it.
pub(crate) fn reading_its_own(scope: &Scope) -> PlatformScope {
    PlatformScope::new(scope.principal().id.clone(), "a tenant reads its own audit records")
}

pub(crate) fn unknown_cursor() -> Error {
    Error::invalid_input("audit.read", "`cursor` is not the `next_cursor` of an earlier page")
        .with_detail(Detail::Field { path: "cursor".into(), nearest: None })
}

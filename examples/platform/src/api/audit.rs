//! `/api/v1/audit`: the audit chain of the caller's tenant, to look at and to take away.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header;
use mcp_core::{
    Error, Result, Scope,
    audit::{
        self, AuditFilter, AuditPage, AuditQuery, AuditView, Outcome,
        export::{Export, Format, Product, lines},
    },
    clock::Timestamp,
    error::Detail,
    http_api::{ApiError, Json, Query, require},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::platform::Platform;

/// The most records on one page.
const MAX: u32 = 200;

/// One page of audit records.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Records {
    items: Vec<AuditView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which records, and which page of them. With a filter, a page may be short or empty and have a next one.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// How many records at most.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before; the first page without it.
    cursor: Option<String>,
    /// Written at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Written before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The action, `tenant.suspend`, or a whole area of actions, `tenant.*`.
    action: Option<String>,
    /// Who did it, or was denied.
    actor: Option<String>,
    /// How it ended: `done` or `denied`.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
}

const fn default_limit() -> u32 {
    50
}

impl Wanted {
    /// Page and filter.
    pub(super) fn parts(self) -> Result<(AuditQuery, AuditFilter)> {
        let Self { limit, cursor, from, until, action, actor, outcome } = self;
        if !(1..=MAX).contains(&limit) {
            return Err(Error::invalid_input("audit.read", format!("`limit` must be 1 to {MAX}"))
                .with_detail(Detail::Field { path: "limit".to_owned(), nearest: None }));
        }
        let query = AuditQuery { limit, cursor, oldest_first: false };
        Ok((query, AuditFilter { from, until, action, actor, outcome }))
    }
}

/// Where an export begins, and how it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wished {
    #[serde(default)]
    #[param(inline, default = "jsonl")]
    format: ExportFormat,
    /// The number of the last link that an earlier export came to; the whole chain without it.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    after: i64,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExportFormat {
    /// Links and signed checkpoints, which can be verified without the platform.
    #[default]
    Jsonl,
    /// Events of the Open Cybersecurity Schema, of records alone.
    Ocsf,
}

impl Wished {
    /// The place to begin behind, and the format.
    pub(super) fn parts(&self) -> (i64, Format) {
        let format = match self.format {
            ExportFormat::Jsonl => Format::JsonLines,
            ExportFormat::Ocsf => Format::Ocsf(Product::default()),
        };
        // Every chain begins behind 0.
        (self.after.max(0), format)
    }
}

/// One page of the tenant's own records; needs `audit:read`.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    params(Wanted),
    responses((status = 200, description = "The records, latest first.", body = Records)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Records>, ApiError> {
    require(&*platform.denials(), &scope, "audit:read", "audit")?;
    let (query, filter) = wanted.parts()?;
    let page = audit::search(&*platform.administration().audit(), &scope, &query, &filter).await?;
    Ok(Json(page.into()))
}

/// What has been sealed of the tenant's own chain, from the beginning or behind a link; needs `audit:read`.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    params(Wished),
    responses((status = 200, description = "A JSON object a line.", content_type = "application/x-ndjson",
        body = String)),
)]
pub(super) async fn export(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Query(wished): Query<Wished>,
) -> Result<Response, ApiError> {
    require(&*platform.denials(), &scope, "audit:read", "audit")?;
    let (after, format) = wished.parts();
    let export = Export::of_tenant(platform.administration().audit(), &scope, after)?;
    Ok(streamed(export, format).await?)
}

/// An export as a response. What is wrong with its beginning is an error; later on the stream is cut.
pub(super) async fn streamed(export: Export, format: Format) -> Result<Response> {
    let mut pages = Box::pin(lines(export, format));
    let first = pages.try_next().await?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(pages));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

impl From<AuditPage> for Records {
    fn from(page: AuditPage) -> Self {
        Self { items: page.records, next_cursor: page.next_cursor }
    }
}

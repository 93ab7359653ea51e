//! The handlers.

use std::sync::Arc;

use axum::{Extension, extract::State, response::IntoResponse};
use http::{StatusCode, header};
use mcp_core::{
    Error, PlatformScope, Result,
    http_api::{ApiError, Body, Json, Path, Query},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::{NewServer, Page, Server, Use, Work};
use crate::{
    protocol::ServerName,
    release::{MAX_PAGE, Operation, OperationId, Releases},
    source::Version,
};

type Shared = State<Arc<Releases>>;

/// Begins to add a server from npm or PyPI; 202 with where to ask how far that is.
#[utoipa::path(
    post,
    path = "/api/v1/operator/servers",
    request_body = NewServer,
    responses((status = 202, description = "The operation has begun.", body = Work,
        headers(("location" = String, description = "Where to ask how far it is.")))),
)]
pub(super) async fn add(
    State(releases): Shared,
    Extension(scope): Extension<PlatformScope>,
    Body(new): Body<NewServer>,
) -> Result<impl IntoResponse, ApiError> {
    let (name, package, settings) = new.parse()?;
    Ok(accepted(releases.add(scope, name, package, settings).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Most items of the page, 1 to 200.
    #[serde(default = "default_limit")]
    #[param(required = false, default = 50, minimum = 1, maximum = 200)]
    limit: u32,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
}

const fn default_limit() -> u32 {
    50
}

/// One page of the servers that were added, with their releases.
#[utoipa::path(
    get,
    path = "/api/v1/operator/releases",
    params(Listing),
    responses((status = 200, description = "The servers, in the order of their names.", body = Page)),
)]
pub(super) async fn list(
    State(releases): Shared,
    Extension(scope): Extension<PlatformScope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page>, ApiError> {
    let limit = listing.limit;
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::invalid_input("server.list", format!("`limit` must be 1 to {MAX_PAGE}")).into());
    }
    let after = listing.cursor.as_deref().map(ServerName::parse).transpose().map_err(|error| {
        Error::invalid_input("server.list", "the cursor is not one this list gave; start without one")
            .with_source(error)
    })?;
    // One more than the page shows whether there is another.
    let mut servers = releases.servers(&scope, after.as_ref(), limit).await?;
    let more = servers.len() == limit as usize
        && !releases.servers(&scope, servers.last().map(|server| &server.name), 1).await?.is_empty();
    let next_cursor = servers.last().filter(|_| more).map(|server| server.name.to_string());
    let items = servers.drain(..).map(|server| Server::of(server, &releases)).collect();
    Ok(Json(Page { items, next_cursor }))
}

/// One server and its releases.
#[utoipa::path(
    get,
    path = "/api/v1/operator/servers/{server}",
    params(("server" = String, Path)),
    responses((status = 200, description = "The server.", body = Server,
        headers(("etag" = String, description = "Its revision.")))),
)]
pub(super) async fn show(
    State(releases): Shared,
    Extension(scope): Extension<PlatformScope>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let server = releases.server(&scope, &parse_name(&name)?).await?;
    let tag = [(header::ETAG, format!("\"{}\"", server.revision))];
    Ok((tag, Json(Server::of(server, &releases))))
}

/// Begins to put another release to use; 202 with where to ask how far that is. Calls go on meanwhile.
#[utoipa::path(
    post,
    path = "/api/v1/operator/servers/{server}/use",
    params(("server" = String, Path)),
    request_body = Use,
    responses((status = 202, description = "The operation has begun.", body = Work,
        headers(("location" = String, description = "Where to ask how far it is.")))),
)]
pub(super) async fn use_release(
    State(releases): Shared,
    Extension(scope): Extension<PlatformScope>,
    Path(name): Path<String>,
    Body(wanted): Body<Use>,
) -> Result<impl IntoResponse, ApiError> {
    let version = wanted.version.as_deref().map(Version::parse).transpose()?;
    Ok(accepted(releases.use_release(scope, parse_name(&name)?, version).await?))
}

/// Removes a server; answers when its calls in flight have ended.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/servers/{server}",
    params(("server" = String, Path)),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn remove(
    State(releases): Shared,
    Extension(scope): Extension<PlatformScope>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    releases.remove(&scope, &parse_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How far an operation is. It is known to the replica that began it.
#[utoipa::path(
    get,
    path = "/api/v1/operator/operations/{id}",
    params(("id" = String, Path)),
    responses((status = 200, description = "The operation.", body = Work)),
)]
pub(super) async fn operation(
    State(releases): Shared,
    Extension(scope): Extension<PlatformScope>,
    Path(id): Path<String>,
) -> Result<Json<Work>, ApiError> {
    let found = OperationId::parse(&id).and_then(|id| releases.operation(&scope, id));
    let unknown = || Error::not_found("server.operation", "there is no such operation here");
    Ok(Json(found.ok_or_else(unknown)?.into()))
}

fn accepted(operation: Operation) -> impl IntoResponse {
    let work = Work::from(operation);
    (StatusCode::ACCEPTED, [(header::LOCATION, work.status_url.clone())], Json(work))
}

/// A name that cannot be one answers what an unknown one answers.
fn parse_name(name: &str) -> Result<ServerName> {
    ServerName::parse(name)
        .map_err(|error| Error::not_found("server.find", "no such server was added").with_source(error))
}

//! `/api/v1/operator/servers`: the fleet of MCP servers, all tenants' instances of them.

use std::{sync::Arc, time::Duration};

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_automation::{
    fleet::{ServerState, ServerStatus},
    protocol::ServerName,
};
use mcp_core::{
    Error, PlatformScope, Result,
    audit::{AuditRecord, Chain, Entry},
    clock::{Clock as _, SystemClock},
    http_api::{ApiError, Json, Path, Query},
    scope::TenantId,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::tenant_id;
use crate::platform::Platform;

/// The instances of all servers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Servers {
    items: Vec<Server>,
}

/// One instance, or a server that has none.
#[derive(Debug, Serialize, ToSchema)]
struct Server {
    name: String,
    /// Whose instance it is; none for one that all share and for a server that does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Seconds until it is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in: Option<u64>,
    /// The protocol's version on its connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    starts: u64,
    in_flight: usize,
}

impl From<ServerStatus> for Server {
    fn from(status: ServerStatus) -> Self {
        let seconds = |wait: Duration| wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let state = status.state.as_str();
        let (mut reason, mut retry_in, mut protocol, mut pid) = (None, None, None, None);
        match status.state {
            ServerState::BackingOff { retry_in: wait, reason: why }
            | ServerState::GivenUp { retry_in: wait, reason: why } => {
                (reason, retry_in) = (Some(why), Some(seconds(wait)));
            }
            ServerState::Ready { version, pid: process } => {
                (protocol, pid) = (Some(version.to_string()), process);
            }
            _ => {}
        }
        let (starts, in_flight) = (status.starts, status.in_flight);
        let name = status.server.to_string();
        Self { name, tenant: status.tenant, state, reason, retry_in, protocol, pid, starts, in_flight }
    }
}

/// Every instance and every server without one, with the reasons of failures.
#[utoipa::path(
    get,
    path = "/api/v1/operator/servers",
    responses((status = 200, description = "The instances.", body = Servers)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
) -> Json<Servers> {
    let items = platform.fleet().status(&scope).into_iter().map(Server::from).collect();
    Json(Servers { items })
}

/// Whose instance is meant; that which all tenants share where it is left out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// The tenant's id.
    #[param(value_type = Option<TenantId>)]
    tenant: Option<String>,
}

impl Whose {
    fn tenant(&self) -> Result<Option<TenantId>> {
        self.tenant.as_deref().map(tenant_id).transpose()
    }
}

/// What an instance wrote to its standard error last, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Logs {
    lines: Vec<String>,
}

/// The last lines of an instance's standard error.
#[utoipa::path(
    get,
    path = "/api/v1/operator/servers/{server}/logs",
    params(("server" = String, Path), Whose),
    responses((status = 200, description = "The lines.", body = Logs)),
)]
pub(super) async fn logs(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(server): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<Json<Logs>, ApiError> {
    let server = known(&platform, &scope, &server)?;
    let lines = platform.fleet().stderr(&scope, whose.tenant()?.as_ref(), &server);
    Ok(Json(Logs { lines }))
}

/// Starts the instances of a server over, one tenant's or all; calls in flight on them fail.
#[utoipa::path(
    post,
    path = "/api/v1/operator/servers/{server}/restart",
    params(("server" = String, Path), Whose),
    responses((status = 202, description = "They are being started over.")),
)]
pub(super) async fn restart(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(server): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, ApiError> {
    let (server, tenant) = (known(&platform, &scope, &server)?, whose.tenant()?);
    let record = AuditRecord::administered(&scope, "server.restart", format!("server/{server}"))
        .with_detail(json!({ "reason": scope.reason(), "tenant": tenant }));
    let entry = Entry::new(record, SystemClock.now())?;
    // Before it is done: a restart that nobody can trace is worse than a record of one that did not happen.
    platform.administration().audit().append(&scope, &Chain::Platform, &[entry]).await?;
    platform.fleet().restart(&scope, tenant.as_ref(), &server);
    Ok(StatusCode::ACCEPTED)
}

/// The server of that name, if there is one.
fn known(platform: &Platform, scope: &PlatformScope, name: &str) -> Result<ServerName> {
    let known = platform.fleet().status(scope).into_iter().map(|status| status.server);
    known
        .into_iter()
        .find(|server| server.as_str() == name)
        .ok_or_else(|| Error::not_found("server.get", format!("there is no server `{name}`")))
}

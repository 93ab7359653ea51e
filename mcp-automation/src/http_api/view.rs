//! What goes over the wire.

use std::{collections::BTreeMap, time::Duration};

use mcp_core::{Error, Result, clock::Timestamp, error::Detail, key::Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    protocol::ServerName,
    release::{AddedServer, Local, Operation, Release, Releases, Settings},
    source::{PackageRef, Version},
};

/// A server to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewServer {
    /// `npm:@scope/name[@version]` or `pypi:name[==version]`; the latest where no version is given.
    #[schema(pattern = "^(npm|pypi):.+$", example = "npm:@modelcontextprotocol/server-everything@2026.1.14")]
    package: String,
    /// Its name in the gateway, 1 to 32 of `A-Z a-z 0-9 _ -`; made from the package's where it is missing.
    #[schema(value_type = Option<ServerName>)]
    name: Option<String>,
    /// Arguments of its program.
    #[serde(default)]
    args: Vec<String>,
    /// Its environment. Kept sealed and never shown again.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    env: BTreeMap<String, Hidden>,
    /// Whether one process serves all tenants.
    #[serde(default)]
    stateless: bool,
    /// Longest wait for a reply.
    timeout_seconds: Option<u32>,
}

/// A value that is shown nowhere.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Hidden(Secret<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl NewServer {
    pub(super) fn parse(self) -> Result<(ServerName, PackageRef, Settings)> {
        let at = |path: &'static str| {
            move |error: Error| error.with_detail(Detail::Field { path: path.to_owned(), nearest: None })
        };
        let package: PackageRef = self.package.parse().map_err(at("package"))?;
        let name = self.name.unwrap_or_else(|| package.package.short_name());
        let name = ServerName::parse(&name).map_err(at("name"))?;
        let settings = Settings {
            args: self.args,
            env: self.env.into_iter().map(|(name, Hidden(value))| (name, value)).collect(),
            stateless: self.stateless,
            timeout: self.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        };
        Ok((name, package, settings))
    }
}

/// Which release is to serve.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Use {
    /// The version; the latest where it is missing.
    #[schema(value_type = Option<Version>)]
    pub(super) version: Option<String>,
}

/// One page of servers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddedServers)]
pub(super) struct Page {
    /// The servers, in the order of their names.
    pub(super) items: Vec<Server>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// An added server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddedServer)]
pub(super) struct Server {
    /// Its name.
    pub(super) name: String,
    /// Its package.
    package: String,
    /// The version that is to serve.
    #[schema(required)]
    version: Option<String>,
    /// What the replica that answers does: `serving`, `installing`, `failed` or `waiting`.
    state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Arguments of its program.
    args: Vec<String>,
    /// Names of the variables in its environment.
    env: Vec<String>,
    /// Whether one process serves all tenants.
    stateless: bool,
    /// Longest wait for a reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    /// Its releases.
    releases: Vec<OneRelease>,
    /// Grows with every change.
    revision: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// One release of a server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Release)]
struct OneRelease {
    /// Its version.
    version: String,
    /// The hash of its artifact, as in Subresource Integrity.
    artifact: String,
    /// `staged`, `active`, `previous`, `retired` or `failed`.
    state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    staged_at: Timestamp,
    changed_at: Timestamp,
}

impl Server {
    pub(super) fn of(server: AddedServer, releases: &Releases) -> Self {
        let version = server.active().map(|release| release.version.to_string());
        let (state, reason) = match releases.local(&server.name) {
            Some(Local::Serves(_)) => ("serving", None),
            Some(Local::Installing(_)) => ("installing", None),
            Some(Local::Failed { reason, .. }) => ("failed", Some(reason)),
            None => ("waiting", None),
        };
        let AddedServer { name, package, settings, releases, revision, created_at, updated_at } = server;
        Self {
            name: name.to_string(),
            package: package.to_string(),
            version,
            state,
            reason,
            args: settings.args,
            env: settings.env.into_keys().collect(),
            stateless: settings.stateless,
            timeout_seconds: settings.timeout.map(|timeout| timeout.as_secs()),
            releases: releases.into_iter().map(OneRelease::from).collect(),
            revision,
            created_at,
            updated_at,
        }
    }
}

impl From<Release> for OneRelease {
    fn from(release: Release) -> Self {
        Self {
            version: release.version.to_string(),
            artifact: release.artifact.to_string(),
            state: release.state.as_str(),
            reason: release.reason,
            staged_at: release.staged_at,
            changed_at: release.changed_at,
        }
    }
}

/// Long work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Work {
    /// Where to ask how far it is.
    pub(super) status_url: String,
    #[serde(flatten)]
    operation: Operation,
}

impl From<Operation> for Work {
    fn from(operation: Operation) -> Self {
        Self { status_url: format!("/api/v1/operator/operations/{}", operation.id), operation }
    }
}

//! An added server as a row, the same on both SQL backends.

use std::{collections::BTreeMap, time::Duration};

use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    key::{MasterKey, Secret},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{AddedServer, Refusal, Release, Settings};
use crate::{
    protocol::ServerName,
    source::Version,
    sql::{Change, damaged},
};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, package, settings, sealed_env, releases, revision, created_at, updated_at \
             FROM added_server ",
            $rest
        )
    };
}

pub(super) const BY_NAME: &str = select!("WHERE name = $1");
#[cfg(feature = "postgres")]
pub(super) const BY_NAME_LOCKED: &str = select!("WHERE name = $1 FOR UPDATE");
pub(super) const PAGE: &str = select!("WHERE name > $1 ORDER BY name LIMIT $2");
pub(super) const INSERT: &str = "INSERT INTO added_server (name, package, settings, sealed_env, releases, \
     revision, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING";
pub(super) const UPDATE: &str =
    "UPDATE added_server SET releases = $2, revision = $3, updated_at = $4 WHERE name = $1";
pub(super) const DELETE: &str = "DELETE FROM added_server WHERE name = $1";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, Vec<u8>, String, i64, i64, i64);

/// Settings without their environment.
#[derive(Serialize, Deserialize)]
struct Plain {
    args: Vec<String>,
    stateless: bool,
    timeout_seconds: Option<u64>,
}

/// What is bound to the columns that are not plain values.
pub(super) struct Columns {
    pub(super) settings: String,
    pub(super) sealed_env: Vec<u8>,
    pub(super) releases: String,
}

impl Columns {
    pub(super) fn of(server: &AddedServer, master: &MasterKey) -> Result<Self> {
        let settings = &server.settings;
        let plain = Plain {
            args: settings.args.clone(),
            stateless: settings.stateless,
            timeout_seconds: settings.timeout.map(|timeout| timeout.as_secs()),
        };
        let env: BTreeMap<_, _> = settings.env.iter().map(|(name, value)| (name, value.expose())).collect();
        let env = Secret::new(serde_json::to_vec(&env).map_err(|error| damaged("server.write", error))?);
        Ok(Self {
            settings: serde_json::to_string(&plain).map_err(|error| damaged("server.write", error))?,
            sealed_env: master.seal(env.expose(), &sealed_for(&server.name))?,
            releases: releases(server)?,
        })
    }
}

pub(super) fn releases(server: &AddedServer) -> Result<String> {
    serde_json::to_string(&server.releases).map_err(|error| damaged("server.write", error))
}

fn sealed_for(name: &ServerName) -> [&str; 2] {
    ["added_server.env", name.as_str()]
}

/// The server a row holds.
pub(super) fn server(row: Row, master: &MasterKey) -> Result<AddedServer> {
    let name = ServerName::parse(&row.0).map_err(|error| damaged("server.read", error))?;
    let env = master.open(&row.3, &sealed_for(&name))?;
    parse(row, name, &env).map_err(|error| damaged("server.read", error))
}

fn parse(
    row: Row,
    name: ServerName,
    env: &Secret<Vec<u8>>,
) -> std::result::Result<AddedServer, Box<dyn std::error::Error + Send + Sync>> {
    let (_, package, settings, _, releases, revision, created, updated) = row;
    let Plain { args, stateless, timeout_seconds } = serde_json::from_str(&settings)?;
    let env: BTreeMap<String, String> = serde_json::from_slice(env.expose())?;
    let env = env.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    Ok(AddedServer {
        name,
        package: package.parse()?,
        settings: Settings { args, env, stateless, timeout: timeout_seconds.map(Duration::from_secs) },
        releases: serde_json::from_str::<Vec<Release>>(&releases)?,
        revision,
        created_at: Timestamp::from_micros(created),
        updated_at: Timestamp::from_micros(updated),
    })
}

/// What is written beside a change of a server or of its release `version`.
pub(super) fn change(
    scope: &PlatformScope,
    words: (&'static str, &'static str),
    server: &AddedServer,
    version: Option<&Version>,
) -> Change {
    let release = version.and_then(|version| server.release(version)).or_else(|| server.active());
    let previous = server.releases.iter().find(|release| release.state == super::ReleaseState::Previous);
    let data: Value = json!({
        "name": server.name,
        "package": server.package,
        "version": release.map(|release| &release.version),
        "artifact": release.map(|release| &release.artifact),
        "state": release.map(|release| release.state),
        "failure": release.and_then(|release| release.reason.as_deref()),
        "previous": previous.map(|release| &release.version),
        "revision": server.revision,
    });
    Change::new(scope, words, server.name.as_str(), data)
}

/// What is written where a server was not added.
pub(super) fn refusal(scope: &PlatformScope, refusal: &Refusal) -> Change {
    let reason: String = refusal.reason.chars().take(1_000).collect();
    let data = json!({ "name": refusal.name, "package": refusal.package.to_string(), "failure": reason });
    Change::new(scope, ("refuse", "refused"), refusal.name.as_str(), data)
}

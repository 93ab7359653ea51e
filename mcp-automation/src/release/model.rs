//! Servers that were added while the platform ran, and the states of their releases.

use std::{collections::BTreeMap, time::Duration};

use mcp_core::{Error, ErrorKind, Result, clock::Timestamp, error::Detail, key::Secret};
use serde::{Deserialize, Serialize};

use crate::{
    protocol::ServerName,
    source::{Hash, Package, PackageRef, Version},
};

/// Releases that are remembered of one server; the oldest that no longer matter make room.
const RELEASES: usize = 50;
/// Longest reason of a failure, in characters.
const REASON: usize = 1_000;

/// How a server is run, whatever its release.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Arguments of its program. Default: none.
    pub args: Vec<String>,
    /// Its environment, on top of the fleet's. Kept sealed, as it may hold secrets. Default: none.
    pub env: BTreeMap<String, Secret<String>>,
    /// Whether one instance serves all tenants. Default `false`.
    pub stateless: bool,
    /// Longest wait for a reply. Default: the fleet's.
    pub timeout: Option<Duration>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        let plain = |settings: &Self| (settings.args.clone(), settings.stateless, settings.timeout);
        let pairs = || self.env.iter().zip(&other.env);
        plain(self) == plain(other)
            && self.env.len() == other.env.len()
            && pairs().all(|(one, two)| one.0 == two.0 && one.1.expose() == two.1.expose())
    }
}

impl Settings {
    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        let bad = |path: String, rule: &str| {
            Err(Error::invalid_input("server.add", format!("`{path}` {rule}"))
                .with_detail(Detail::Field { path, nearest: None }))
        };
        if self.args.len() > 256 || self.args.iter().any(|arg| arg.len() > 8_192 || arg.contains('\0')) {
            return bad("args".to_owned(), "may be 256 texts of 8,192 bytes, without NUL");
        }
        if self.env.len() > 256 {
            return bad("env".to_owned(), "may have 256 variables");
        }
        for (name, value) in &self.env {
            let value = value.expose();
            if name.is_empty() || name.len() > 256 || name.contains(['=', '\0']) {
                return bad(format!("env.{}", name.escape_default()), "is no environment variable");
            }
            if value.len() > 32_768 || value.contains('\0') {
                return bad(format!("env.{name}"), "may have 32,768 bytes, without NUL");
            }
        }
        match self.timeout {
            Some(timeout) if timeout.is_zero() => bad("timeout_seconds".to_owned(), "must be at least 1"),
            _ => Ok(()),
        }
    }
}

/// A server to be added, with the release that serves first.
#[derive(Debug, Clone, PartialEq)]
pub struct NewServer {
    /// Its name, unique among all servers.
    pub name: ServerName,
    /// The package it comes from.
    pub package: Package,
    /// How it is run.
    pub settings: Settings,
    /// The version that serves.
    pub version: Version,
    /// The hash of its artifact.
    pub artifact: Hash,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseState {
    /// Installed, and not used yet.
    Staged,
    /// Serves.
    Active,
    /// Served before the active one: the one to go back to.
    Previous,
    /// Served once.
    Retired,
    /// Did not pass its check.
    Failed,
}

impl ReleaseState {
    /// The state's one name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Previous => "previous",
            Self::Retired => "retired",
            Self::Failed => "failed",
        }
    }
}

/// One release of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// The hash of its artifact: a version whose artifact has changed is not the same release.
    pub artifact: Hash,
    /// What became of it.
    pub state: ReleaseState,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was staged first.
    pub staged_at: Timestamp,
    /// When its state changed last.
    pub changed_at: Timestamp,
}

/// A server that was added while the platform ran.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedServer {
    /// Its name.
    pub name: ServerName,
    /// The package it comes from.
    pub package: Package,
    /// How it is run.
    pub settings: Settings,
    /// Its releases, the newest last.
    pub releases: Vec<Release>,
    /// Grows with every change.
    pub revision: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl AddedServer {
    /// The server that `new` becomes at `now`.
    pub(crate) fn create(new: NewServer, now: Timestamp) -> Self {
        let NewServer { name, package, settings, version, artifact } = new;
        let active = ReleaseState::Active;
        let first =
            Release { version, artifact, state: active, reason: None, staged_at: now, changed_at: now };
        Self { name, package, settings, releases: vec![first], revision: 1, created_at: now, updated_at: now }
    }

    /// The release that serves.
    #[must_use]
    pub fn active(&self) -> Option<&Release> {
        self.releases.iter().find(|release| release.state == ReleaseState::Active)
    }

    /// The release of that version.
    #[must_use]
    pub fn release(&self, version: &Version) -> Option<&Release> {
        self.releases.iter().find(|release| release.version == *version)
    }

    /// Remembers a release that was installed; whether anything changed.
    pub(crate) fn stage(&mut self, version: &Version, artifact: &Hash, now: Timestamp) -> Result<bool> {
        if let Some(known) = self.releases.iter_mut().find(|release| release.version == *version) {
            if known.artifact != *artifact {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "server.stage",
                    format!(
                        "the artifact of {version} is another than before: it was {}, now it is {artifact}; a \
                         published version must not change, so it is refused",
                        known.artifact
                    ),
                ));
            }
            if known.state != ReleaseState::Failed {
                return Ok(false);
            }
            (known.state, known.reason, known.changed_at) = (ReleaseState::Staged, None, now);
        } else {
            self.make_room();
            let (version, artifact) = (version.clone(), artifact.clone());
            let state = ReleaseState::Staged;
            self.releases.push(Release {
                version,
                artifact,
                state,
                reason: None,
                staged_at: now,
                changed_at: now,
            });
        }
        self.touch(now);
        Ok(true)
    }

    /// Makes a staged or former release the one that serves; whether anything changed.
    pub(crate) fn activate(&mut self, version: &Version, now: Timestamp) -> Result<bool> {
        let wanted = self.release(version).ok_or_else(|| no_release(&self.name, version))?;
        match wanted.state {
            ReleaseState::Active => return Ok(false),
            ReleaseState::Failed => {
                let why = format!("release {version} of `{}` failed its check; stage it again", self.name);
                return Err(Error::new(ErrorKind::Conflict, "server.use", why));
            }
            ReleaseState::Staged | ReleaseState::Previous | ReleaseState::Retired => {}
        }
        for release in &mut self.releases {
            let next = match release.state {
                _ if release.version == *version => ReleaseState::Active,
                ReleaseState::Active => ReleaseState::Previous,
                ReleaseState::Previous => ReleaseState::Retired,
                other => other,
            };
            if next != release.state {
                (release.state, release.changed_at) = (next, now);
            }
        }
        self.touch(now);
        Ok(true)
    }

    /// Says of a release that it failed its check. What it was before does not matter, unless it serves.
    pub(crate) fn fail(&mut self, version: &Version, reason: &str, now: Timestamp) -> Result<()> {
        let name = &self.name;
        let release = self.releases.iter_mut().find(|release| release.version == *version);
        let release = release.ok_or_else(|| no_release(name, version))?;
        if release.state == ReleaseState::Active {
            let why = format!("release {version} of `{name}` serves; use another one first");
            return Err(Error::new(ErrorKind::Conflict, "server.fail", why));
        }
        release.reason = Some(reason.chars().take(REASON).collect());
        (release.state, release.changed_at) = (ReleaseState::Failed, now);
        self.touch(now);
        Ok(())
    }

    fn make_room(&mut self) {
        if self.releases.len() >= RELEASES {
            let unused =
                |release: &Release| matches!(release.state, ReleaseState::Retired | ReleaseState::Failed);
            if let Some(oldest) = self.releases.iter().position(unused) {
                self.releases.remove(oldest);
            }
        }
    }

    fn touch(&mut self, now: Timestamp) {
        self.revision += 1;
        self.updated_at = now;
    }
}

/// Why a server was not added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The name it would have had.
    pub name: ServerName,
    /// The package it would have come from.
    pub package: PackageRef,
    /// Why not.
    pub reason: String,
}

fn no_release(server: &ServerName, version: &Version) -> Error {
    Error::not_found("server.use", format!("the server `{server}` has no release {version}"))
}

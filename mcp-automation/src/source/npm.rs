//! The npm registry.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use url::Url;

use super::{
    Hash, Package, RegistryClient, Reporter, Resolved, Source, Version, reference::Registry, version,
};

/// The abbreviated document, without readmes.
const ABBREVIATED: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";

/// Packages of an npm registry, hashed by `dist.integrity` (SHA-512).
#[derive(Debug, Clone)]
pub struct NpmSource {
    client: RegistryClient,
    registry: Url,
}

impl NpmSource {
    /// The public registry.
    pub const PUBLIC: &'static str = "https://registry.npmjs.org/";

    /// The registry at `registry`.
    #[must_use]
    pub const fn new(client: RegistryClient, registry: Url) -> Self {
        Self { client, registry }
    }

    async fn document(&self, package: &Package) -> Result<Document> {
        let url = format!(
            "{}/{}",
            self.registry.as_str().trim_end_matches('/'),
            package.name().replace('/', "%2f")
        );
        let url = Url::parse(&url).map_err(|_| {
            Error::invalid_input("source.npm", format!("{url} is no URL; is the registry's right?"))
        })?;
        let body = self.client.get(&url, ABBREVIATED).await.map_err(|error| unknown(package, error))?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::upstream("source.npm", format!("the registry's document of `{package}` is malformed"))
                .with_source(error)
        })
    }
}

#[derive(Deserialize)]
struct Document {
    versions: BTreeMap<String, Release>,
    #[serde(rename = "dist-tags", default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Release {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: Url,
    integrity: Option<String>,
}

impl Document {
    fn versions(&self) -> Vec<Version> {
        let mut versions: Vec<_> =
            self.versions.keys().filter_map(|text| Version::parse(text).ok()).collect();
        versions.sort();
        versions
    }

    /// The version tagged `latest`; the highest where there is no such tag.
    fn latest(&self, package: &Package) -> Result<Version> {
        match self.tags.get("latest") {
            Some(tagged) => Version::parse(tagged),
            None => self.versions().pop().ok_or_else(|| no_versions(package)),
        }
    }
}

#[async_trait]
impl Source for NpmSource {
    async fn versions(&self, package: &Package) -> Result<Vec<Version>> {
        Ok(self.document(package).await?.versions())
    }

    async fn resolve(&self, package: &Package, wanted: Option<&Version>) -> Result<Resolved> {
        debug_assert_eq!(package.registry(), Registry::Npm);
        let mut document = self.document(package).await?;
        let version = wanted.map_or_else(|| document.latest(package), |wanted| Ok(wanted.clone()))?;
        let Some(Release { dist }) = document.versions.remove(version.as_str()) else {
            return Err(no_such_version(package, &version, &document.versions()));
        };
        let hashes = dist.integrity.unwrap_or_default();
        let hash = hashes
            .split_ascii_whitespace()
            .filter(|text| text.starts_with("sha512-"))
            .find_map(|text| Hash::parse(text).ok());
        let hash = hash.ok_or_else(|| no_hash(package, &version))?;
        let file = format!("{}.tgz", hash.short());
        if !matches!(dist.tarball.scheme(), "http" | "https") {
            return Err(Error::upstream(
                "source.npm",
                format!("the artifact of `{package}` has no web address"),
            ));
        }
        let package = package.clone();
        Ok(Resolved { package, version, url: dist.tarball, file, hash, size: None })
    }

    async fn download(&self, artifact: &Resolved, to: &Path, report: &Reporter) -> Result<()> {
        self.client.download(artifact, to, report).await
    }
}

/// A package the registry does not have is told by its name and not by a URL.
pub(super) fn unknown(package: &Package, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::not_found("source.resolve", format!("the registry has no package `{package}`"))
                .with_source(error)
        }
        _ => error,
    }
}

pub(super) fn no_versions(package: &Package) -> Error {
    Error::not_found(
        "source.resolve",
        format!("the package `{package}` has no version that can be installed"),
    )
}

pub(super) fn no_hash(package: &Package, version: &Version) -> Error {
    let why =
        format!("the registry gives no hash for `{package}` {version} that is safe today; it is refused");
    Error::new(ErrorKind::Unsupported, "source.resolve", why)
}

pub(super) fn no_such_version(package: &Package, wanted: &Version, known: &[Version]) -> Error {
    let near = version::nearest(wanted, known);
    let names: Vec<_> = near.iter().map(|version| format!("`{version}`")).collect();
    let hint = match names.as_slice() {
        [] => "; it has none".to_owned(),
        [one] => format!("; there is {one}"),
        [rest @ .., last] => format!("; the nearest are {} and {last}", rest.join(", ")),
    };
    let nearest = near.first().map(ToString::to_string);
    Error::not_found("source.resolve", format!("the package `{package}` has no version `{wanted}`{hint}"))
        .with_detail(mcp_core::error::Detail::Field { path: "version".to_owned(), nearest })
}

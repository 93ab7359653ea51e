//! The Python package index, by its simple API (PEP 503, 691, 700).

use std::path::Path;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use url::Url;

use super::{
    Hash, Package, RegistryClient, Reporter, Resolved, Source, Version,
    npm::{no_hash, no_such_version, no_versions, unknown},
    reference::Registry,
};

const SIMPLE: &str = "application/vnd.pypi.simple.v1+json";

/// Packages of a Python index, hashed by SHA-256. Only pure wheels are taken: they run wherever Python does,
/// and installing one runs none of its code.
#[derive(Debug, Clone)]
pub struct PypiSource {
    client: RegistryClient,
    index: Url,
}

impl PypiSource {
    /// The public index.
    pub const PUBLIC: &'static str = "https://pypi.org/simple/";

    /// The index at `index`, whose address ends like `/simple/`.
    #[must_use]
    pub const fn new(client: RegistryClient, index: Url) -> Self {
        Self { client, index }
    }

    async fn document(&self, package: &Package) -> Result<(Url, Document)> {
        let url = format!("{}/{}/", self.index.as_str().trim_end_matches('/'), package.name());
        let url = Url::parse(&url).map_err(|_| {
            Error::invalid_input("source.pypi", format!("{url} is no URL; is the index's right?"))
        })?;
        let body = self.client.get(&url, SIMPLE).await.map_err(|error| unknown(package, error))?;
        let document = serde_json::from_slice(&body).map_err(|error| {
            Error::upstream("source.pypi", format!("the index's document of `{package}` is malformed"))
                .with_source(error)
        })?;
        Ok((url, document))
    }
}

#[derive(Deserialize)]
struct Document {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    size: Option<u64>,
    #[serde(default)]
    yanked: Yanked,
}

#[derive(Deserialize, Default)]
struct Hashes {
    sha256: Option<String>,
}

/// PEP 592: a flag, or the reason.
#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Flag(bool),
    Reason(String),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Flag(false)
    }
}

impl File {
    fn is_yanked(&self) -> bool {
        match &self.yanked {
            Yanked::Flag(yanked) => *yanked,
            Yanked::Reason(reason) => {
                tracing::debug!(file = self.filename, reason, "yanked");
                true
            }
        }
    }

    /// The version a wheel's or source archive's name says.
    fn version(&self, package: &Package) -> Option<Version> {
        let rest = match self.filename.strip_suffix(".whl") {
            Some(wheel) => wheel.split_once('-')?.1.split('-').next()?,
            None => {
                let stem =
                    self.filename.strip_suffix(".tar.gz").or_else(|| self.filename.strip_suffix(".zip"))?;
                // A source archive's name may hold the separator in either spelling.
                stem.get(package.name().len() + 1..)?
            }
        };
        Version::parse(rest).ok()
    }

    fn is_pure_wheel(&self) -> bool {
        self.filename.strip_suffix("-none-any.whl").is_some_and(|stem| {
            stem.rsplit('-').next().is_some_and(|tags| tags.split('.').any(|tag| tag.starts_with("py3")))
        })
    }
}

impl Document {
    fn versions(&self, package: &Package) -> Vec<Version> {
        let files = self.files.iter().filter(|file| !file.is_yanked());
        let mut versions: Vec<_> = files.filter_map(|file| file.version(package)).collect();
        versions.sort();
        versions.dedup();
        versions
    }

    fn latest(&self, package: &Package) -> Result<Version> {
        let versions = self.versions(package);
        let last = versions.iter().rev().find(|version| version.is_final()).or_else(|| versions.last());
        last.cloned().ok_or_else(|| no_versions(package))
    }
}

#[async_trait]
impl Source for PypiSource {
    async fn versions(&self, package: &Package) -> Result<Vec<Version>> {
        Ok(self.document(package).await?.1.versions(package))
    }

    async fn resolve(&self, package: &Package, wanted: Option<&Version>) -> Result<Resolved> {
        debug_assert_eq!(package.registry(), Registry::Pypi);
        let (at, document) = self.document(package).await?;
        let version = wanted.map_or_else(|| document.latest(package), |wanted| Ok(wanted.clone()))?;
        let of_version =
            || document.files.iter().filter(|file| file.version(package).as_ref() == Some(&version));
        let Some(wheel) = of_version().find(|file| file.is_pure_wheel()) else {
            return Err(match of_version().next() {
                Some(_) => no_pure_wheel(package, &version),
                None => no_such_version(package, &version, &document.versions(package)),
            });
        };
        if wheel.is_yanked() {
            tracing::warn!(%package, %version, "the version was yanked by its authors");
        }
        let hash = wheel.hashes.sha256.as_deref().and_then(Hash::from_hex_sha256);
        let hash = hash.ok_or_else(|| no_hash(package, &version))?;
        let file = wheel.filename.clone();
        let named = file.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b));
        let url = at.join(&wheel.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url.filter(|_| named && file.len() <= 200) {
            Some(url) => {
                Ok(Resolved { package: package.clone(), version, url, file, hash, size: wheel.size })
            }
            None => Err(Error::upstream(
                "source.pypi",
                format!("the wheel of `{package}` has no safe name or address"),
            )),
        }
    }

    async fn download(&self, artifact: &Resolved, to: &Path, report: &Reporter) -> Result<()> {
        self.client.download(artifact, to, report).await
    }
}

fn no_pure_wheel(package: &Package, version: &Version) -> Error {
    let why = format!(
        "`{package}` {version} has no pure wheel (`py3-none-any`); source archives and wheels for single \
         platforms are not installed, since building them runs their code"
    );
    Error::new(ErrorKind::Unsupported, "source.resolve", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> File {
        File {
            filename: name.to_owned(),
            url: String::new(),
            hashes: Hashes::default(),
            size: None,
            yanked: Yanked::default(),
        }
    }

    #[test]
    fn names_of_files_say_version_and_purity() {
        let package: Package = "pypi:mcp-server-time".parse().unwrap();
        for (name, version, pure) in [
            ("mcp_server_time-2026.10.19-py3-none-any.whl", Some("2026.10.19"), true),
            ("mcp_server_time-1.0-1-py2.py3-none-any.whl", Some("1.0"), true),
            ("mcp_server_time-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", Some("1.0"), false),
            ("mcp_server_time-1.0-py2-none-any.whl", Some("1.0"), false),
            ("mcp_server_time-0.5.1.tar.gz", Some("0.5.1"), false),
            ("mcp-server-time-0.5.1.zip", Some("0.5.1"), false),
            ("x", None, false),
            ("mcp_server_time-1.0.exe", None, false),
        ] {
            let file = file(name);
            assert_eq!(file.version(&package).as_ref().map(Version::as_str), version, "{name}");
            assert_eq!(file.is_pure_wheel(), pure, "{name}");
        }
    }
}

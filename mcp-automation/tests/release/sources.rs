//! Registries that answer, that do not, and that answer nonsense.

use std::{sync::atomic::Ordering, time::Duration};

use mcp_automation::source::{
    ClientLimits, NpmSource, PackageRef, Phase, PypiSource, RegistryClient, Reporter, Resolved, Source,
    Version,
};
use mcp_core::{Error, ErrorKind, Result, error::Detail};

use crate::{
    packages::npm,
    registry::{Manner, Registry},
};

fn client() -> RegistryClient {
    let limits = ClientLimits {
        silence: Duration::from_millis(400),
        backoff: Duration::from_millis(5),
        metadata: 1 << 16,
        ..ClientLimits::default()
    };
    RegistryClient::new(limits)
}

fn npm_at(registry: &Registry) -> NpmSource {
    NpmSource::new(client(), registry.url.parse().unwrap())
}

fn pypi_at(registry: &Registry) -> PypiSource {
    PypiSource::new(client(), format!("{}/simple", registry.url).parse().unwrap())
}

async fn resolve(source: &dyn Source, text: &str) -> Result<Resolved> {
    let wanted: PackageRef = text.parse().unwrap();
    source.resolve(&wanted.package, wanted.version.as_ref()).await
}

async fn download(source: &dyn Source, artifact: &Resolved) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("file");
    let report = Reporter::default();
    let downloaded = source.download(artifact, &to, &report).await;
    assert_eq!(downloaded.is_ok(), to.exists(), "a file is left only where it is whole");
    downloaded?;
    let bytes = std::fs::read(&to).unwrap();
    let (latest, length) = (report.latest(), bytes.len() as u64);
    assert_eq!(
        (latest.phase, latest.done_bytes, latest.total_bytes),
        (Phase::Downloading, length, Some(length))
    );
    Ok(bytes)
}

fn nearest(error: &Error) -> Option<String> {
    error.details().iter().find_map(|detail| match detail {
        Detail::Field { nearest, .. } => nearest.clone(),
        _ => None,
    })
}

#[tokio::test]
async fn versions_resolve_to_artifacts_with_hashes() {
    let registry = Registry::start().await;
    let packages = ["1.0.0", "1.2.0", "1.10.0"].map(|version| (version, npm("@a/srv", version), None));
    registry.npm("@a/srv", &packages);
    let source = npm_at(&registry);
    let latest = resolve(&source, "npm:@a/srv").await.unwrap();
    assert_eq!(latest.version.as_str(), "1.10.0");
    let exact = resolve(&source, "npm:@a/srv@1.2.0").await.unwrap();
    assert_eq!(download(&source, &exact).await.unwrap(), packages[1].1);
    let known = source.versions(&exact.package).await.unwrap();
    assert_eq!(known.iter().map(Version::as_str).collect::<Vec<_>>(), ["1.0.0", "1.2.0", "1.10.0"]);
}

#[tokio::test]
async fn python_packages_resolve_to_their_pure_wheel() {
    let registry = Registry::start().await;
    registry.pypi(
        "mcp-srv",
        &[
            ("mcp_srv-1.0-py3-none-any.whl", b"one".into(), false),
            ("mcp_srv-1.9.tar.gz", b"source".into(), false),
            ("mcp_srv-1.10-cp312-cp312-manylinux_2_17_x86_64.whl", b"no".into(), false),
            ("mcp_srv-1.10-py3-none-any.whl", b"ten".into(), false),
            ("mcp_srv-2.0rc1-py3-none-any.whl", b"rc".into(), false),
            ("mcp_srv-3.0-py3-none-any.whl", b"yanked".into(), true),
        ],
    );
    let source = pypi_at(&registry);
    let latest = resolve(&source, "pypi:MCP_srv").await.unwrap();
    assert_eq!((latest.version.as_str(), latest.file.as_str()), ("1.10", "mcp_srv-1.10-py3-none-any.whl"));
    assert_eq!(download(&source, &latest).await.unwrap(), b"ten");
    assert_eq!(
        resolve(&source, "pypi:mcp-srv==3.0").await.unwrap().size,
        Some(6),
        "exactly named, a yanked one is taken"
    );
    let error = resolve(&source, "pypi:mcp-srv==1.9").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("no pure wheel"), "{error}");
    let error = resolve(&source, "pypi:mcp-srv==1.8").await.unwrap_err();
    assert!(error.message().contains("`1.0`, `1.9` and `2.0rc1`"), "{error}");
}

#[tokio::test]
async fn an_unknown_version_names_its_neighbours() {
    let registry = Registry::start().await;
    registry.npm("srv", &["1.0.0", "1.2.0", "2.0.0"].map(|version| (version, npm("srv", version), None)));
    let error = resolve(&npm_at(&registry), "npm:srv@1.1.0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.message().contains("no version `1.1.0`; the nearest are `1.0.0`, `1.2.0` and `2.0.0`"),
        "{error}"
    );
    assert_eq!(nearest(&error).as_deref(), Some("1.0.0"));
    let error = resolve(&npm_at(&registry), "npm:nothing@1.0.0").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::NotFound, "the registry has no package `npm:nothing`")
    );
}

#[tokio::test]
async fn an_artifact_that_differs_from_its_hash_is_refused() {
    let registry = Registry::start().await;
    let other = crate::packages::sha512(b"something else");
    registry.npm("srv", &[("1.0.0", npm("srv", "1.0.0"), Some(other))]);
    let source = npm_at(&registry);
    let artifact = resolve(&source, "npm:srv").await.unwrap();
    let error = download(&source, &artifact).await.unwrap_err();
    assert!(error.message().contains("npm:srv@1.0.0 is refused: the registry says sha512-"), "{error}");
    let before = registry.asked.load(Ordering::Relaxed);
    download(&source, &artifact).await.unwrap_err();
    assert_eq!(registry.asked.load(Ordering::Relaxed) - before, 1, "a wrong file is not asked for again");
}

#[tokio::test]
async fn a_wheel_that_differs_from_its_hash_is_refused() {
    let registry = Registry::start().await;
    let file = "srv-1.0-py3-none-any.whl";
    let other = crate::packages::sha256_hex(b"something else");
    registry.pypi_claiming("srv", &[(file, b"wheel".into(), false, other)]);
    let source = pypi_at(&registry);
    let artifact = resolve(&source, "pypi:srv").await.unwrap();
    let before = registry.asked.load(Ordering::Relaxed);
    let error = download(&source, &artifact).await.unwrap_err();
    assert!(error.message().contains("pypi:srv==1.0 is refused: the registry says sha256-"), "{error}");
    assert_eq!(registry.asked.load(Ordering::Relaxed) - before, 1, "a wrong file is not asked for again");
}

#[tokio::test]
async fn a_version_without_a_safe_hash_is_refused() {
    let registry = Registry::start().await;
    for claimed in ["", "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha512-AAAA"] {
        registry.npm("srv", &[("1.0.0", npm("srv", "1.0.0"), Some(claimed.to_owned()))]);
        let error = resolve(&npm_at(&registry), "npm:srv").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{claimed}: {error}");
    }
}

#[tokio::test]
async fn a_download_that_is_cut_short_is_tried_again_and_then_given_up() {
    let registry = Registry::start().await;
    let package = npm("srv", "1.0.0");
    registry.npm("srv", &[("1.0.0", package.clone(), None)]);
    let source = npm_at(&registry);
    let artifact = resolve(&source, "npm:srv").await.unwrap();
    registry.put("/files/srv-1.0.0.tgz", package.clone(), Manner::CutShort(2));
    assert_eq!(download(&source, &artifact).await.unwrap(), package);
    registry.put("/files/srv-1.0.0.tgz", package, Manner::CutShort(9));
    let before = registry.asked.load(Ordering::Relaxed);
    let error = download(&source, &artifact).await.unwrap_err();
    assert!(error.message().contains("was cut short"), "{error}");
    assert_eq!(registry.asked.load(Ordering::Relaxed) - before, 3);
}

#[tokio::test]
async fn a_registry_that_is_away_slow_or_mad_is_told_so() {
    let registry = Registry::start().await;
    let source = npm_at(&registry);
    registry.npm("srv", &[("1.0.0", npm("srv", "1.0.0"), None)]);
    let artifact = resolve(&source, "npm:srv").await.unwrap();
    for (manner, asked, wanted) in [
        (Manner::Fails(503, 9), 3, "answered 503"),
        (Manner::Fails(403, 9), 1, "answered 403"),
        (Manner::Silent, 3, "was silent for 0.4 s"),
        (Manner::Redirects("/files/srv-1.0.0.tgz".to_owned()), 6, "redirects in circles"),
        (Manner::Redirects("file:///etc/passwd".to_owned()), 1, "not followed"),
    ] {
        registry.put("/files/srv-1.0.0.tgz", "x", manner);
        let before = registry.asked.load(Ordering::Relaxed);
        let error = download(&source, &artifact).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Upstream && error.message().contains(wanted), "{wanted}: {error}");
        assert_eq!(registry.asked.load(Ordering::Relaxed) - before, asked, "{wanted}");
    }
    for body in ["", "[]", "{\"versions\": 3}", "<html>"] {
        registry.put("/srv", body, Manner::Whole);
        let error = resolve(&source, "npm:srv").await.unwrap_err();
        assert!(error.message().contains("malformed"), "{body}: {error}");
    }
    registry.put("/srv", vec![b' '; (1 << 16) + 1], Manner::Whole);
    assert_eq!(resolve(&source, "npm:srv").await.unwrap_err().kind(), ErrorKind::TooLarge);
    let nobody = NpmSource::new(client(), "http://127.0.0.1:9".parse().unwrap());
    let error = resolve(&nobody, "npm:srv").await.unwrap_err();
    assert!(error.message().contains("cannot be reached"), "{error}");
}

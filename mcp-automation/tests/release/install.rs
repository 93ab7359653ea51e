//! From a scripted registry to a folder, and what is left where it fails.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mcp_automation::{
    fleet::launcher::Launcher,
    release::{Installed, Installer, InstallerConfig},
    source::{ClientLimits, PackageRef, Phase, Reporter},
};
use mcp_core::{ErrorKind, Result, clock::SystemClock};
use tar::EntryType;

use crate::{
    fleet_support::name,
    packages::{file, npm, special, tarball, zip},
    registry::{Manner, Registry},
};

pub(crate) fn config(dir: &Path) -> InstallerConfig {
    let mut config = InstallerConfig::new(dir).unwrap();
    config.launcher = Launcher::Program(env!("CARGO_BIN_EXE_mcp-launcher").into());
    config
}

async fn installer(dir: &Path, registry: &Registry) -> Installer {
    let mut config = config(dir);
    config.npm_registry = registry.url.parse().unwrap();
    config.pypi_index = format!("{}/simple/", registry.url).parse().unwrap();
    config.client = ClientLimits {
        silence: Duration::from_secs(5),
        backoff: Duration::from_millis(5),
        ..ClientLimits::default()
    };
    Installer::open(config, Arc::new(SystemClock)).await.unwrap()
}

async fn install(installer: &Installer, package: &str) -> Result<Installed> {
    let wanted: PackageRef = package.parse().unwrap();
    installer.install(&name("srv"), &wanted, &Reporter::default()).await
}

/// What [`left`] gives where nothing is.
pub(crate) const NOTHING: [PathBuf; 0] = [];

/// Everything below `dir` but the empty staging folder itself.
pub(crate) fn left(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.file_name() == ".staging" {
            found.extend(std::fs::read_dir(entry.path()).unwrap().flatten().map(|entry| entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn a_release_has_a_read_only_folder_of_its_own() {
    let registry = Registry::start().await;
    registry.npm("@a/srv", &["1.0.0", "2.0.0"].map(|version| (version, npm("@a/srv", version), None)));
    let dir = tempfile::tempdir().unwrap();
    let installer = installer(dir.path(), &registry).await;
    let one = install(&installer, "npm:@a/srv@1.0.0").await.unwrap();
    let two = install(&installer, "npm:@a/srv").await.unwrap();
    assert_eq!(two.manifest().version.as_str(), "2.0.0");
    assert_ne!(one.folder(), two.folder());
    assert!(one.folder().starts_with(dir.path().join("srv")));
    let program = one.folder().join(&one.manifest().entry);
    assert!(std::fs::metadata(&program).unwrap().permissions().readonly());
    assert!(std::fs::metadata(one.folder()).unwrap().permissions().readonly());
    assert_eq!(left(dir.path()), [dir.path().join("srv")]);

    // What is there already is not downloaded again.
    let before = registry.asked.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(install(&installer, "npm:@a/srv@1.0.0").await.unwrap().manifest(), one.manifest());
    assert_eq!(registry.asked.load(std::sync::atomic::Ordering::Relaxed) - before, 1);

    installer.remove(&name("srv"), &one.manifest().version, &one.manifest().artifact).await.unwrap();
    assert!(!one.folder().exists() && two.folder().exists());
}

#[tokio::test]
async fn a_release_that_was_changed_is_not_started() {
    let registry = Registry::start().await;
    registry.npm("srv", &[("1.0.0", npm("srv", "1.0.0"), None)]);
    let dir = tempfile::tempdir().unwrap();
    let installer = installer(dir.path(), &registry).await;
    let installed = install(&installer, "npm:srv").await.unwrap();
    let (version, artifact) = (&installed.manifest().version, &installed.manifest().artifact);
    installer.load(&name("srv"), version, artifact).await.unwrap();
    let missing = installer.load(&name("other"), version, artifact).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);

    let program = installed.folder().join(&installed.manifest().entry);
    let mut permissions = std::fs::metadata(&program).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&program, permissions).unwrap();
    std::fs::write(&program, "require('child_process')").unwrap();
    let error = installer.load(&name("srv"), version, artifact).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(error.message().contains("changed since it was installed"), "{error}");
    assert_eq!(install(&installer, "npm:srv").await.unwrap_err().kind(), ErrorKind::Corrupted);
}

#[tokio::test]
async fn whatever_is_refused_leaves_nothing() {
    let registry = Registry::start().await;
    let dir = tempfile::tempdir().unwrap();
    let installer = installer(dir.path(), &registry).await;
    let manifest = || file("package/package.json", r#"{"name":"srv","version":"1.0.0","bin":"x.js"}"#);
    let wrong = crate::packages::sha512(b"other");
    for (tarball, claimed, wanted) in [
        (npm("srv", "1.0.0"), Some(wrong), "is refused: the registry says"),
        (tarball(&[manifest(), file("package/../../x", "x")]), None, "leads out of its folder"),
        (tarball(&[manifest(), file("/x", "x")]), None, "is absolute"),
        (tarball(&[manifest(), special("package/l", EntryType::Symlink, "/")]), None, "is a link"),
        (npm("another", "1.0.0"), None, "says that it is `another` 1.0.0"),
        (npm("srv", "6.6.6"), None, "says that it is `srv` 6.6.6"),
        (
            tarball(&[file("package/package.json", r#"{"name":"srv","version":"1.0.0"}"#)]),
            None,
            "no program to run",
        ),
        (tarball(&[manifest()]), None, "without its program"),
        (
            tarball(&[file(
                "package/package.json",
                r#"{"name":"srv","version":"1.0.0","bin":"../../x.js"}"#,
            )]),
            None,
            "leads out of its folder",
        ),
    ] {
        registry.npm("srv", &[("1.0.0", tarball, claimed)]);
        let error = install(&installer, "npm:srv").await.unwrap_err();
        assert!(error.message().contains(wanted), "{wanted}: {error}");
        assert_eq!(left(dir.path()), NOTHING, "{wanted}");
    }
    registry.pypi("srv", &[("srv-1.0-py3-none-any.whl", zip(&[("../x.py", b"x")]), false)]);
    let error = install(&installer, "pypi:srv").await.unwrap_err();
    assert!(error.message().contains("leads out of its folder"), "{error}");
    let wrong = crate::packages::sha256_hex(b"other");
    let wheel = zip(&[("srv/__init__.py", b"")]);
    registry.pypi_claiming("srv", &[("srv-1.0-py3-none-any.whl", wheel, false, wrong)]);
    let error = install(&installer, "pypi:srv").await.unwrap_err();
    assert!(error.message().contains("is refused: the registry says sha256-"), "{error}");
    assert_eq!(left(dir.path()), NOTHING, "a wrong wheel");
    let scripts = b"[console_scripts]\nsrv = srv; import os:x\n";
    registry.pypi(
        "srv",
        &[("srv-1.0-py3-none-any.whl", zip(&[("srv-1.0.dist-info/entry_points.txt", scripts)]), false)],
    );
    let error = install(&installer, "pypi:srv").await.unwrap_err();
    assert!(error.message().contains("no function of a module"), "{error}");
    assert_eq!(left(dir.path()), NOTHING);
}

#[tokio::test]
async fn no_script_of_a_package_runs_while_it_is_installed() {
    let registry = Registry::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("ran");
    let touch = format!("touch {}", mark.display());
    let manifest = serde_json::json!({
        "name": "srv", "version": "1.0.0", "bin": "x.js",
        "scripts": { "preinstall": touch, "install": touch, "postinstall": touch, "prepare": touch },
    });
    let package = tarball(&[file("package/package.json", manifest.to_string()), file("package/x.js", "0")]);
    registry.npm("srv", &[("1.0.0", package, None)]);
    let releases = dir.path().join("releases");
    install(&installer(&releases, &registry).await, "npm:srv").await.unwrap();
    assert!(!mark.exists());
}

#[tokio::test]
async fn a_dependency_that_cannot_be_had_is_told_in_npms_words() {
    let registry = Registry::start().await;
    let manifest = r#"{"name":"srv","version":"1.0.0","bin":"x.js","dependencies":{"not-there":"^1.0.0"}}"#;
    let package = tarball(&[file("package/package.json", manifest), file("package/x.js", "0")]);
    registry.npm("srv", &[("1.0.0", package, None)]);
    let dir = tempfile::tempdir().unwrap();
    let error = install(&installer(dir.path(), &registry).await, "npm:srv").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert!(
        error.message().contains("npm exited with status 1") && error.message().contains("not-there"),
        "{error}"
    );
    assert_eq!(left(dir.path()), NOTHING);
}

#[tokio::test]
async fn what_a_dead_process_left_is_swept_and_what_a_living_one_works_on_is_not() {
    let registry = Registry::start().await;
    let dir = tempfile::tempdir().unwrap();
    let staging = dir.path().join(".staging");
    std::fs::create_dir_all(staging.join("dead/tree/deep")).unwrap();
    std::fs::write(staging.join("dead.lock"), "").unwrap();

    // The other one hangs in its download, and so holds its folder.
    registry.npm("srv", &[("1.0.0", npm("srv", "1.0.0"), None)]);
    registry.put("/files/srv-1.0.0.tgz", "x", Manner::Silent);
    let first = installer(dir.path(), &registry).await;
    assert_eq!(left(dir.path()), NOTHING);
    let report = Reporter::default();
    let wanted: PackageRef = "npm:srv".parse().unwrap();
    let server = name("srv");
    let mut running = Box::pin(first.install(&server, &wanted, &report));
    let mut progress = report.watch();
    let begun = async {
        while left(dir.path()).len() < 2 {
            tokio::task::yield_now().await
        }
    };
    tokio::select! { _ = &mut running => panic!("the download ended"), () = begun => {} }
    let _second = installer(dir.path(), &registry).await;
    assert_eq!(left(dir.path()).len(), 2, "a folder and its lock");
    assert_eq!(progress.borrow_and_update().phase, Phase::Resolving);

    // Given up in the middle, it leaves nothing.
    drop(running);
    assert_eq!(left(dir.path()), NOTHING);
}

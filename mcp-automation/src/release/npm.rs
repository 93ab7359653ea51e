//! Installing a package of npm's, with its dependencies.

use std::path::Path;

use mcp_core::{Error, ErrorKind, Result};

use super::{
    install::{Installer, NPM, Staged},
    manifest::{Entry, Runtime},
    tool::{self, Run},
};
use crate::{
    archive::{NpmPackage, check_path},
    source::Resolved,
};

impl Installer {
    /// Installs the tarball into the folder `tree`. npm compares each dependency with its registry's hash; no
    /// script of any package is run.
    pub(super) async fn install_npm(
        &self,
        artifact: &Resolved,
        staged: &Staged,
        package: &NpmPackage,
    ) -> Result<Entry> {
        check_identity(artifact, package)?;
        let script = script(artifact, package)?;
        let config = self.config();
        let mut env = self.tool_env(&staged.home);
        // Files that are not there: the settings of whoever runs the platform are not the release's.
        for (name, file) in
            [("npm_config_userconfig", "user.npmrc"), ("npm_config_globalconfig", "global.npmrc")]
        {
            env.insert(name.to_owned(), staged.home.join(file).display().to_string());
        }
        let npm = self.tool(NPM)?;
        let mut args: Vec<String> = [
            "install",
            "--ignore-scripts",
            "--omit=dev",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            "--no-bin-links",
            "--install-links",
            "--loglevel=error",
            // Dependencies from repositories have no hash to be compared with.
            "--git=/bin/false",
        ]
        .map(str::to_owned)
        .into();
        args.push(format!("--registry={}", config.npm_registry));
        args.push(format!("--cache={}", staged.home.join("cache").display()));
        args.push(format!("--prefix={}", staged.tree.display()));
        args.push(staged.artifact.display().to_string());
        let run = Run { program: &npm, args, env: env.clone(), cwd: &staged.tree, within: config.install };
        tool::run(&config.launcher, run).await?;
        let args = vec!["--version".to_owned()];
        let version = Run { program: &npm, args, env, cwd: &staged.tree, within: config.install };
        let version = tool::run(&config.launcher, version).await?;

        let entry = format!("node_modules/{}/{script}", package.name);
        if !is_file(&staged.tree.join(&entry)).await {
            return Err(not_installed(artifact, &entry));
        }
        Ok(Entry { runtime: Runtime::Node, entry, installed_by: format!("npm {}", version.trim()) })
    }
}

async fn is_file(path: &Path) -> bool {
    tokio::fs::metadata(path).await.is_ok_and(|metadata| metadata.is_file())
}

/// A registry could hand out one package under the name of another.
fn check_identity(artifact: &Resolved, package: &NpmPackage) -> Result<()> {
    if package.name == artifact.package.name() && package.version == artifact.version.as_str() {
        return Ok(());
    }
    let why = format!(
        "the archive of `{}` says that it is `{}` {}; it is refused",
        artifact.reference(),
        package.name,
        package.version
    );
    Err(Error::invalid_input("release.install", why))
}

/// The script of the package's program: the only one, or the one called like the package.
fn script(artifact: &Resolved, package: &NpmPackage) -> Result<String> {
    let own = package.name.rsplit('/').next().unwrap_or_default();
    let found = match package.bin.len() {
        1 => package.bin.values().next(),
        _ => package.bin.get(own).or_else(|| package.bin.get(&format!("mcp-{own}"))),
    };
    let Some(script) = found else {
        let names: Vec<_> = package.bin.keys().map(String::as_str).collect();
        let why = match names.is_empty() {
            true => format!("`{}` has no program to run", artifact.reference()),
            false => format!(
                "`{}` has several programs, none called like it: {}",
                artifact.reference(),
                names.join(", ")
            ),
        };
        return Err(Error::new(ErrorKind::Unsupported, "release.install", why));
    };
    let script = script.strip_prefix("./").unwrap_or(script);
    check_path(script)?;
    Ok(script.to_owned())
}

pub(super) fn not_installed(artifact: &Resolved, entry: &str) -> Error {
    let why = format!("`{}` was installed without its program `{entry}`", artifact.reference());
    Error::new(ErrorKind::Unsupported, "release.install", why)
}

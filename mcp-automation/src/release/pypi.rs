//! Installing a package of PyPI's, with its dependencies, into a virtual environment.

use std::path::Path;

use mcp_core::{Error, ErrorKind, Result};

use super::{
    install::{Installer, PYTHON, Staged},
    manifest::{Entry, Runtime},
    tool::{self, Run},
};
use crate::{archive::WheelPackage, source::Resolved};

/// The folder of the virtual environment, and of its programs, in a release's folder.
pub(super) const ENVIRONMENT: &str = "venv";
/// The script that starts the server.
const SCRIPT: &str = "run.py";

impl Installer {
    /// Installs the wheel into a virtual environment in the folder `tree`. Only wheels are taken, so that no
    /// code of any package runs.
    ///
    /// The programs that pip writes name their interpreter by its path, which is another once the folder has
    /// been moved to its place; so they are left out, and a script that names no path starts the server.
    pub(super) async fn install_pypi(
        &self,
        artifact: &Resolved,
        staged: &Staged,
        wheel: &WheelPackage,
    ) -> Result<Entry> {
        let (module, function) = console_script(artifact, wheel)?;
        let config = self.config();
        let mut env = self.tool_env(&staged.home);
        for (name, value) in
            [("PIP_CONFIG_FILE", "/dev/null"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1"), ("PIP_NO_INPUT", "1")]
        {
            env.insert(name.to_owned(), value.to_owned());
        }
        if let Some(authorities) = env.get("SSL_CERT_FILE").cloned() {
            env.entry("PIP_CERT".to_owned()).or_insert(authorities);
        }
        let venv = staged.tree.join(ENVIRONMENT);
        let python = self.tool(PYTHON)?;
        let args = ["-m", "venv", &venv.display().to_string()].map(str::to_owned).into();
        let run = Run { program: &python, args, env: env.clone(), cwd: &staged.tree, within: config.install };
        tool::run(&config.launcher, run).await?;

        let own = venv.join("bin/python");
        let index = format!("--index-url={}", config.pypi_index);
        let wheel = staged.artifact.display().to_string();
        let install =
            ["-m", "pip", "install", "--only-binary=:all:", "--no-cache-dir", "--quiet", &index, &wheel];
        let args = install.map(str::to_owned).into();
        let run = Run { program: &own, args, env: env.clone(), cwd: &staged.tree, within: config.install };
        tool::run(&config.launcher, run).await?;
        let version = ["-m", "pip", "--version"].map(str::to_owned).into();
        let run = Run { program: &own, args: version, env, cwd: &staged.tree, within: config.install };
        let version = tool::run(&config.launcher, run).await?;

        keep_interpreter(&venv.join("bin")).await?;
        let script = format!(
            "import sys\nfrom {module} import {top}\nsys.argv[0] = {module:?}\nsys.exit({function}())\n",
            top = function.split('.').next().unwrap_or_default(),
        );
        let written = tokio::fs::write(staged.tree.join(SCRIPT), script).await;
        written.map_err(|error| {
            Error::unavailable("release.install", format!("{SCRIPT} cannot be written: {error}"))
        })?;
        let installed_by = version.split(" from ").next().unwrap_or_default().trim().to_owned();
        Ok(Entry { runtime: Runtime::Python, entry: SCRIPT.to_owned(), installed_by })
    }
}

/// Removes all programs of a virtual environment but its interpreter.
async fn keep_interpreter(programs: &Path) -> Result<()> {
    let failed = |error| Error::unavailable("release.install", format!("{}: {error}", programs.display()));
    let mut entries = tokio::fs::read_dir(programs).await.map_err(failed)?;
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        if !entry.file_name().to_string_lossy().starts_with("python") {
            tokio::fs::remove_file(entry.path()).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Module and function of the package's program: the only one, or the one called like the package.
fn console_script(artifact: &Resolved, wheel: &WheelPackage) -> Result<(String, String)> {
    let scripts = &wheel.console_scripts;
    let found = match scripts.len() {
        1 => scripts.values().next(),
        _ => scripts.get(artifact.package.name()),
    };
    let unsupported = |why: String| Err(Error::new(ErrorKind::Unsupported, "release.install", why));
    let reference = artifact.reference();
    let Some(target) = found else {
        let names: Vec<_> = scripts.keys().map(String::as_str).collect();
        return unsupported(match names.is_empty() {
            true => format!("`{reference}` has no program to run (no console script)"),
            false => format!("`{reference}` has several programs, none called like it: {}", names.join(", ")),
        });
    };
    // Both go into a script: only what can be nothing but a name may.
    let is_name = |part: &str| {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        !part.is_empty() && !part.as_bytes()[0].is_ascii_digit() && part.bytes().all(ok)
    };
    match target.split_once(':') {
        Some((module, function)) if module.split('.').all(is_name) && function.split('.').all(is_name) => {
            Ok((module.to_owned(), function.to_owned()))
        }
        _ => unsupported(format!("the program of `{reference}` is no function of a module: {target:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Hash, Version};

    fn script(scripts: &[(&str, &str)]) -> Result<(String, String)> {
        let artifact = Resolved {
            package: "pypi:mcp-time".parse().unwrap(),
            version: Version::parse("1").unwrap(),
            url: "https://h/".parse().unwrap(),
            file: String::new(),
            hash: Hash::parse("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=").unwrap(),
            size: None,
        };
        let scripts = scripts.iter().map(|(name, target)| ((*name).to_owned(), (*target).to_owned()));
        console_script(&artifact, &WheelPackage { console_scripts: scripts.collect() })
    }

    #[test]
    fn the_program_is_the_only_one_or_the_one_called_like_the_package() {
        assert_eq!(script(&[("x", "a.b:main")]).unwrap(), ("a.b".to_owned(), "main".to_owned()));
        assert_eq!(script(&[("x", "a:b"), ("mcp-time", "c:d.e")]).unwrap().1, "d.e");
        assert!(script(&[]).unwrap_err().message().contains("no program"));
        assert!(script(&[("x", "a:b"), ("y", "c:d")]).unwrap_err().message().contains("x, y"));
    }

    #[test]
    fn nothing_but_names_gets_into_the_script() {
        for bad in
            ["a", "a:", ":b", "a:b()", "a; import os:x", "a:b\nimport os", "1a:b", "a..b:c", "a b:c", "é:c"]
        {
            assert!(script(&[("x", bad)]).is_err(), "{bad}");
        }
    }
}

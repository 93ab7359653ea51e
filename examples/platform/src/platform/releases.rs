//! The servers that operators add while the platform runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mcp_automation::{
    fleet::{Fleet, launcher::Launcher},
    release::{Installer, InstallerConfig, Releases, ReleasesDeps},
};
use mcp_core::{Error, Result, clock::SystemClock, error::Detail};

use super::Administration;
use crate::config::{self, Config};

/// Mounts what was added; what is not on this machine is installed in the background.
pub(super) async fn start(
    config: &Config,
    administration: &Administration,
    fleet: &Arc<Fleet>,
    launcher: Launcher,
) -> Result<Arc<Releases>> {
    let clock = Arc::new(SystemClock);
    let releases = Releases::new(ReleasesDeps {
        fleet: Arc::clone(fleet),
        store: administration.releases(),
        installer: Installer::open(InstallerConfig { launcher, ..installer(config)? }, clock.clone()).await?,
        clock,
        compare_every: Duration::from_secs(config.releases.compare_seconds.max(1)),
    });
    releases.start().await?;
    Ok(releases)
}

fn installer(config: &Config) -> Result<InstallerConfig> {
    let config::Releases { dir, npm_registry, pypi_index, node, npm, python, install_seconds, .. } =
        &config.releases;
    let dir = match dir.as_os_str().is_empty() {
        true => config.data.dir.join("releases"),
        false => dir.clone(),
    };
    // Servers are started in it from elsewhere.
    let mut installer = InstallerConfig::new(std::path::absolute(&dir).map_err(|error| {
        Error::invalid_input("config.load", format!("releases.dir: {}: {error}", dir.display()))
    })?)?;
    installer.npm_registry = url("releases.npm_registry", npm_registry)?;
    installer.pypi_index = url("releases.pypi_index", pypi_index)?;
    let tools = [("node", node), ("npm", npm), ("python3", python)];
    installer.tools = tools.map(|(name, path): (&str, &PathBuf)| (name.to_owned(), path.clone())).into();
    installer.install = Duration::from_secs((*install_seconds).max(1));
    Ok(installer)
}

fn url(setting: &str, text: &str) -> Result<url::Url> {
    let parsed = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    parsed.ok_or_else(|| {
        Error::invalid_input("config.load", format!("{setting}: {text:?} is no http or https URL"))
            .with_detail(Detail::Field { path: setting.to_owned(), nearest: None })
    })
}

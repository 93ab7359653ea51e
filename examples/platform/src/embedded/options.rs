//! What an embedded platform is opened with.

use std::{collections::BTreeMap, path::PathBuf};

use mcp_automation::fleet::{FleetSpec, launcher::Launcher};
use mcp_core::{Result, strict};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{self, Config};

/// How the settings are called in errors.
const NAME: &str = "options";

/// What an embedded platform is opened with. The default is SQLite below `mcp-platform-data` and no servers.
///
/// Nothing is read from files or the environment that is not named here: neither `mcp-platform.toml` nor
/// `.mcp.json` of the folder the program happens to run in.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Every setting; those of listeners mean nothing here.
    pub config: Config,
    /// The MCP servers.
    pub servers: FleetSpec,
    /// Which program launches stdio servers. The default needs `run_if_launched` in the program's `main`.
    pub launcher: Launcher,
}

impl Options {
    /// Reads what programs in other languages pass: a JSON object with `data_dir`, `config` (sections and keys
    /// as in the configuration file), `servers` (as `mcpServers` in `.mcp.json`; `${VAR}` is taken from the
    /// environment) and `launcher` (program and arguments); each may be missing.
    ///
    /// # Errors
    /// `InvalidInput` that names the key and the nearest known one.
    pub fn parse(json: &str) -> Result<Self> {
        let Given { data_dir, mut config, servers, launcher } = strict::from_json(NAME, json)?;
        if let Some(dir) = data_dir {
            config.data.dir = dir;
        }
        let mut launcher = launcher.into_iter();
        Ok(Self {
            config: config::validated(config)?,
            servers: servers_of("servers", &json!(servers))?,
            launcher: match launcher.next() {
                Some(program) => Launcher::Command { program: program.into(), args: launcher.collect() },
                None => Launcher::ThisProgram,
            },
        })
    }
}

/// The one server of an entry of `mcpServers`.
pub(super) fn server(name: &str, entry: &str) -> Result<FleetSpec> {
    let entry: Value = strict::from_json("server", entry)?;
    servers_of("server", &json!({ name: entry }))
}

fn servers_of(file: &str, servers: &Value) -> Result<FleetSpec> {
    FleetSpec::parse(file, &json!({ "mcpServers": servers }).to_string(), &config::environment())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    #[serde(alias = "dataDir")]
    data_dir: Option<PathBuf>,
    config: Config,
    servers: BTreeMap<String, Value>,
    launcher: Vec<String>,
}

impl Default for Given {
    fn default() -> Self {
        let (servers, launcher) = (BTreeMap::new(), Vec::new());
        Self { data_dir: None, config: Config::default(), servers, launcher }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let options = Options::parse(
            r#"{"data_dir": "/d", "config": {"gateway": {"prefix": "never"}},
                "servers": {"a": {"command": "x"}}, "launcher": ["python", "-c", "y"]}"#,
        )
        .unwrap();
        assert_eq!(options.config.data.dir, PathBuf::from("/d"));
        assert_eq!(options.servers.servers()[0].name.as_str(), "a");
        let args = ["-c", "y"].map(str::to_owned).into();
        assert_eq!(options.launcher, Launcher::Command { program: "python".into(), args });
        assert_eq!(Options::parse("{}").unwrap().launcher, Launcher::ThisProgram);
    }

    #[test]
    fn mistakes_are_named_with_the_nearest() {
        for (json, wanted) in [
            (r#"{"data_dr": "/d"}"#, "unknown key `data_dr`; did you mean `data_dir`?"),
            (r#"{"dataDr": "/d"}"#, "did you mean `dataDir`?"),
            (r#"{"config": {"sever": {}}}"#, "did you mean `server`?"),
            (r#"{"config": {"server": {"max_running": 0}}}"#, "server.max_running"),
            (r#"{"servers": {"a": {"comand": "x"}}}"#, "did you mean `command`?"),
            (r#"{"servers": {"a__b": {"command": "x"}}}"#, "a__b"),
        ] {
            let error = Options::parse(json).unwrap_err();
            assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
        }
    }
}

//! Reads the file, then the environment over it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mcp_core::{Error, Result, strict};
use toml::{Table, Value};

use super::{ClientCertificates, Config, print::table};

const PREFIX: &str = "MCP_PLATFORM__";
const DEFAULT_FILE: &str = "mcp-platform.toml";

/// Where settings come from.
#[derive(Debug, Default)]
pub struct Source {
    /// The file named on the command line; without one, `mcp-platform.toml` is read where it exists.
    pub file: Option<PathBuf>,
    /// The environment; only `MCP_PLATFORM__…` is looked at.
    pub environment: Vec<(String, String)>,
}

impl Source {
    /// `file` and the process's environment.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let environment = environment().into_iter().filter(|(key, _)| key.starts_with(PREFIX)).collect();
        Self { file, environment }
    }

    /// The configuration.
    ///
    /// # Errors
    /// `InvalidInput` that names file, line and the nearest known key, or the environment variable.
    pub fn load(&self) -> Result<Config> {
        let mut config = match &self.file {
            Some(file) => from_file(file)?,
            None if Path::new(DEFAULT_FILE).exists() => from_file(Path::new(DEFAULT_FILE))?,
            None => Config::default(),
        };
        for (key, value) in &self.environment {
            if let Some(path) = key.strip_prefix(PREFIX) {
                config = with_variable(&config, key, path, value)?;
            }
        }
        validated(config)
    }
}

/// The process's environment, for `${VAR}` in operators' files.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn from_file(file: &Path) -> Result<Config> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::invalid_input("config.load", format!("cannot read the configuration {name}: {error}"))
    })?;
    strict::from_toml(&name, &text)
}

/// The configuration with one variable set; its text is read as what the setting's type needs.
fn with_variable(config: &Config, variable: &str, path: &str, text: &str) -> Result<Config> {
    let refuse =
        |why: &str| Error::invalid_input("config.load", format!("environment variable {variable}: {why}"));
    let lower = path.to_lowercase();
    if !lower.contains("__") {
        return Err(refuse("must be MCP_PLATFORM__SECTION__KEY"));
    }
    let mut settings = Value::Table(table(config)?);
    let mut current = &mut settings;
    for part in lower.split("__") {
        let known: Vec<String> = current.as_table().into_iter().flat_map(Table::keys).cloned().collect();
        current =
            current.get_mut(part).ok_or_else(|| refuse(&unknown(part, known.iter().map(String::as_str))))?;
    }
    *current = match current {
        Value::String(_) => Value::String(text.to_owned()),
        _ => format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .ok_or_else(|| refuse(&format!("{text:?} is no TOML value such as 10, true or [\"a\"]")))?,
    };
    settings.try_into().map_err(|error: toml::de::Error| refuse(error.message()))
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match strict::nearest(name, known) {
        Some(near) => format!("unknown key `{name}`; did you mean `{near}`?"),
        None => format!("unknown key `{name}`; `mcp-platform config` prints the known ones"),
    }
}

/// The configuration, if the rules that hold between settings do.
pub(crate) fn validated(config: Config) -> Result<Config> {
    let server = &config.server;
    let complaint = if server.tls_cert.as_os_str().is_empty() != server.tls_key.as_os_str().is_empty() {
        "server.tls_cert and server.tls_key go together: set both or neither"
    } else if (server.client_certificates == ClientCertificates::Off)
        != server.client_ca.as_os_str().is_empty()
    {
        "server.client_ca and server.client_certificates go together: set the latter to \"optional\" or \"required\""
    } else if server.client_certificates != ClientCertificates::Off && server.tls_cert.as_os_str().is_empty()
    {
        "server.client_certificates need TLS: set server.tls_cert and server.tls_key"
    } else if !server.client_crl.is_empty() && server.client_ca.as_os_str().is_empty() {
        "server.client_crl is about the certificates of server.client_ca: set that too"
    } else if config.auth.token_seconds == 0 || config.auth.issuer_timeout_seconds == 0 {
        "auth.token_seconds and auth.issuer_timeout_seconds must be at least 1"
    } else if server.max_running == 0 || server.max_connections == 0 {
        "server.max_running and server.max_connections must be at least 1"
    } else if server.request_timeout_seconds == 0 || config.gateway.call_timeout.is_zero() {
        "a timeout of 0 would refuse everything; use at least 1"
    } else if config.database.backend == super::Backend::Postgres && config.database.url.is_empty() {
        "database.backend is \"postgres\", which needs database.url (the app role) and database.owner_url"
    } else if config.tenants.grace_days > 3650 || config.tenants.erase_interval_seconds == 0 {
        "tenants.grace_days can be 3650 at most, tenants.erase_interval_seconds must be at least 1"
    } else if config.database.backend == super::Backend::Postgres
        && !config.tenants.region_directories.is_empty()
    {
        "tenants.region_directories is for SQLite; Postgres has tenants.region_databases"
    } else if config.database.backend == super::Backend::Sqlite && !config.tenants.region_databases.is_empty()
    {
        "tenants.region_databases is for Postgres; SQLite has tenants.region_directories"
    } else {
        for provider in &config.providers {
            provider.key_variable()?;
        }
        config.limits.check()?;
        config.policy.check()?;
        config.vault.check()?;
        config.pii.check()?;
        config.audit.syslog.check()?;
        return Ok(config);
    };
    Err(Error::invalid_input("config.load", complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = file.map(|text| {
            let path = dir.path().join("test.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Source { file: path, environment }.load()
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let config = load(
            Some("[server]\ndrain_seconds = 3\nmax_waiting = 7\n[database]\nurl = \"x\"\n"),
            &[
                ("MCP_PLATFORM__SERVER__DRAIN_SECONDS", "4"),
                ("MCP_PLATFORM__SERVER__CORS_ORIGINS", "[\"https://a\"]"),
                ("MCP_PLATFORM__DATABASE__URL", "123"),
                ("OTHER", "ignored"),
            ],
        )
        .unwrap();
        assert_eq!((config.server.drain_seconds, config.server.max_waiting), (4, 7));
        assert_eq!(config.server.cors_origins, ["https://a"]);
        assert_eq!(config.database.url, "123");
    }

    #[test]
    fn mistakes_are_named_with_place_and_nearest() {
        for (file, environment, wanted) in [
            (
                Some("[server]\nlisten = \"127.0.0.1:1\"\ndrain_second = 3\n"),
                vec![],
                "test.toml:3:1: unknown key `drain_second`; did you mean `drain_seconds`?",
            ),
            (Some("[server]\ndrain_seconds = \"soon\"\n"), vec![], "test.toml:2:"),
            (Some("[sever]\n"), vec![], "did you mean `server`?"),
            (Some("[gateway]\nprefix = \"allways\"\n"), vec![], "did you mean `always`?"),
            (
                None,
                vec![("MCP_PLATFORM__SERVER__LISTN", "x")],
                "MCP_PLATFORM__SERVER__LISTN: unknown key `listn`; did you mean `listen`?",
            ),
            (None, vec![("MCP_PLATFORM__SEVER__LISTEN", "x")], "did you mean `server`?"),
            (None, vec![("MCP_PLATFORM__SERVER__DRAIN_SECONDS", "soon")], "is no TOML value"),
            (None, vec![("MCP_PLATFORM__SERVER__LISTEN", "nowhere")], "MCP_PLATFORM__SERVER__LISTEN"),
            (None, vec![("MCP_PLATFORM__SERVER", "x")], "must be MCP_PLATFORM__SECTION__KEY"),
            (Some("[server]\ntls_cert = \"a.pem\"\n"), vec![], "go together"),
            (Some("[server]\nclient_ca = \"a.pem\"\n"), vec![], "\"optional\""),
            (Some("[server]\nclient_certificates = \"optional\"\n"), vec![], "server.client_ca"),
            (
                Some("[server]\nclient_certificates = \"required\"\nclient_ca = \"a.pem\"\n"),
                vec![],
                "need TLS",
            ),
            (Some("[server]\nclient_certificates = \"maybe\"\n"), vec![], "`off`"),
            (Some("[server]\nclient_crl = [\"a.crl\"]\n"), vec![], "server.client_ca"),
            (Some("[auth]\ntoken_algorithm = \"HS256\"\n"), vec![], "did you mean `RS256`?"),
            (Some("[auth]\nscopes = [\"all\"]\n"), vec![], "test.toml:2:"),
            (Some("[database]\nbackend = \"postgres\"\n"), vec![], "needs database.url"),
            (Some("[[providers]]\nbase_ulr = \"x\"\n"), vec![], "did you mean `base_url`?"),
            (Some("[[routes]]\nchains = []\n"), vec![], "did you mean `chain`?"),
            (Some("[[routes]]\nchain = [{ provider = \"a\" }]\n"), vec![], "missing field `model`"),
            (Some("[[providers]]\nname = \"a\"\napi_key = \"sk-1\"\n"), vec![], "must be ${VARIABLE}"),
            (
                Some("[[providers]]\nname = \"a\"\napi_key = \"${K}\"\napi_key_file = \"k\"\n"),
                vec![],
                "not both",
            ),
            (Some("[limits]\nroutes = [{ path = \"v1\", per_minute = 1 }]\n"), vec![], "`routes[0]`"),
            (Some("[limits]\nrequests_at_once = 0\n"), vec![], "test.toml:2:"),
            (Some("[vault]\nbackend = \"transit\"\n"), vec![], "needs vault.address"),
            (Some("[vault]\ntoken = \"hvs.1\"\n"), vec![], "must be ${VARIABLE}"),
            (Some("[vault]\nearlier = \"master_key\"\n"), vec![], "set it to \"none\""),
            (Some("[vault]\nttl_seconds = 0\n"), vec![], "vault.ttl_seconds"),
            (Some("[vault]\nhold_seconds = 59\n"), vec![], "vault.hold_seconds must not be below"),
            (Some("[audit.syslog]\naddress = \"siem:6514\"\n"), vec![], "needs audit.syslog.ca"),
            (Some("[pii]\ntool_results = \"masked\"\n"), vec![], "did you mean `mask`?"),
            (Some("[pii]\ncontexts = \"hash\"\n"), vec![], "needs pii.hash_key_file"),
            (Some("[pii]\ntenants = { acme = \"hash\" }\n"), vec![], "needs pii.hash_key_file"),
        ] {
            let error = load(file, &environment).unwrap_err();
            assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
        }
    }
}

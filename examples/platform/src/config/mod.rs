//! Every setting of the platform, with its default. Read here and nowhere else.
//!
//! One TOML file, then environment variables `MCP_PLATFORM__SECTION__KEY` over it. With neither, the platform
//! runs on SQLite under one data directory.

#![expect(missing_docs, reason = "what each setting means stands in docs.rs, which is printed and tested")]

mod chat;
mod docs;
mod guards;
mod load;
mod print;
mod tenants;

use std::{collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroU32, path::PathBuf};

use mcp_automation::{
    gateway::GatewayConfig,
    source::{NpmSource, PypiSource},
};
use mcp_core::{scope::Permission, sql::IsolationMode, telemetry::LogFormat};
use mcp_tenancy::{key::DEFAULT_KEY_LIMIT, token::SigningAlgorithm};
use serde::{Deserialize, Serialize};

pub use chat::{Deployment, Provider, Route};
pub use guards::{EarlierVault, Limits, Pii, PiiMode, Policy, Syslog, SyslogReceipt, Vault, VaultBackend};
pub(crate) use load::validated;
pub use load::{Source, environment};
pub use print::print;
pub use tenants::{RegionDatabase, Tenants};

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub data: Data,
    pub database: Database,
    pub auth: Auth,
    pub audit: Audit,
    pub context: Context,
    pub events: Events,
    pub fleet: Fleet,
    pub releases: Releases,
    pub tenants: Tenants,
    pub gateway: GatewayConfig,
    pub inference: Inference,
    pub limits: Limits,
    pub log: Log,
    pub pii: Pii,
    pub policy: Policy,
    pub providers: Vec<Provider>,
    pub routes: Vec<Route>,
    pub vault: Vault,
}

/// The listeners and what bounds a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub operations_listen: SocketAddr,
    pub public_url: String,
    pub tls_cert: PathBuf,
    pub tls_key: PathBuf,
    pub client_certificates: ClientCertificates,
    pub client_ca: PathBuf,
    pub client_crl: Vec<PathBuf>,
    pub cors_origins: Vec<String>,
    pub max_connections: usize,
    pub max_running: usize,
    pub max_waiting: usize,
    pub request_timeout_seconds: u64,
    pub operator_requests_per_minute: NonZeroU32,
    pub drain_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            operations_listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            public_url: String::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            client_certificates: ClientCertificates::Off,
            client_ca: PathBuf::new(),
            client_crl: Vec::new(),
            cors_origins: Vec::new(),
            max_connections: 10_000,
            max_running: 1_024,
            max_waiting: 1_024,
            request_timeout_seconds: 120,
            operator_requests_per_minute: const { NonZeroU32::new(600).unwrap() },
            drain_seconds: 10,
        }
    }
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    #[default]
    Off,
    Optional,
    Required,
}

/// Where files live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
    pub tenants_file: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: PathBuf::from("mcp-platform-data"), tenants_file: PathBuf::new() }
    }
}

/// Which database holds the state. `Debug` shows no password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    pub backend: Backend,
    pub url: String,
    pub owner_url: String,
    pub relay_url: String,
    pub tenant_database_prefix: String,
    pub named_statements: bool,
    pub isolation: Isolation,
    pub tier_isolation: BTreeMap<String, IsolationMode>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            backend: Backend::Sqlite,
            url: String::new(),
            owner_url: String::new(),
            relay_url: String::new(),
            tenant_database_prefix: "mcp_".to_owned(),
            named_statements: false,
            isolation: Isolation::Auto,
            tier_isolation: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = [&self.url, &self.owner_url, &self.relay_url].map(|url| print::without_password(url));
        f.debug_struct("Database")
            .field("backend", &self.backend)
            .field("urls", &urls)
            .field("isolation", &self.isolation)
            .field("tier_isolation", &self.tier_isolation)
            .finish_non_exhaustive()
    }
}

/// A database product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    #[default]
    Sqlite,
    Postgres,
}

/// How tenants are kept apart where their tier says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// `database` on SQLite (a file per tenant), `row` on Postgres.
    #[default]
    Auto,
    Row,
    Schema,
    Database,
}

/// Tokens and keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub token_seconds: u64,
    pub token_algorithm: SigningAlgorithm,
    pub refresh_seconds: u64,
    pub refresh_grace_seconds: u64,
    pub keys_per_tenant: u32,
    pub master_key_file: PathBuf,
    pub authorization_servers: Vec<String>,
    pub scopes: Vec<Permission>,
    pub issuer_ca: PathBuf,
    pub issuer_timeout_seconds: u64,
    pub issuer_keys_stale_seconds: u64,
    pub introspection_seconds: u64,
}

impl Default for Auth {
    fn default() -> Self {
        let scopes = ["tools:list", "tools:call"].map(Permission::parse);
        Self {
            token_seconds: 3_600,
            token_algorithm: SigningAlgorithm::EdDsa,
            refresh_seconds: 14 * 24 * 60 * 60,
            refresh_grace_seconds: 10,
            keys_per_tenant: DEFAULT_KEY_LIMIT,
            master_key_file: PathBuf::new(),
            authorization_servers: Vec::new(),
            scopes: scopes.into_iter().flatten().collect(),
            issuer_ca: PathBuf::new(),
            issuer_timeout_seconds: 5,
            issuer_keys_stale_seconds: 900,
            introspection_seconds: 30,
        }
    }
}

/// The audit log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    pub key_file: PathBuf,
    pub checkpoints_file: PathBuf,
    pub syslog: Syslog,
}

/// Contexts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Context {
    pub message_bytes: usize,
    pub messages_per_append: usize,
    pub data_bytes: usize,
    pub vectors_bytes: usize,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            messages_per_append: 100,
            data_bytes: 64 * 1024,
            vectors_bytes: 512 * 1024 * 1024,
        }
    }
}

/// Published events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    pub retention_seconds: u64,
    pub streams_per_tenant: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self { retention_seconds: 7 * 24 * 60 * 60, streams_per_tenant: 64 }
    }
}

/// The MCP servers behind the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    pub file: PathBuf,
    pub idle_seconds: u64,
    pub processes_per_tenant: usize,
    pub processes: usize,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { file: PathBuf::from(".mcp.json"), idle_seconds: 600, processes_per_tenant: 16, processes: 256 }
    }
}

/// Models in process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inference {
    pub models_dir: PathBuf,
    pub embedder: String,
    pub threads: usize,
    pub queue: usize,
}

impl Default for Inference {
    fn default() -> Self {
        Self { models_dir: PathBuf::new(), embedder: String::new(), threads: 0, queue: 256 }
    }
}

/// Servers that operators add while the platform runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Releases {
    pub dir: PathBuf,
    pub npm_registry: String,
    pub pypi_index: String,
    pub node: PathBuf,
    pub npm: PathBuf,
    pub python: PathBuf,
    pub install_seconds: u64,
    pub compare_seconds: u64,
}

impl Default for Releases {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            npm_registry: NpmSource::PUBLIC.to_owned(),
            pypi_index: PypiSource::PUBLIC.to_owned(),
            node: PathBuf::from("node"),
            npm: PathBuf::from("npm"),
            python: PathBuf::from("python3"),
            install_seconds: 600,
            compare_seconds: 5,
        }
    }
}

/// The log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

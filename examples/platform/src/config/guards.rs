//! What guards tenants: limits, policies, the vault, the way of the audit log elsewhere, personal data.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, path::PathBuf};

use mcp_core::{Error, Result};
use mcp_tenancy::{
    limit::{LimitPolicy, RouteLimit},
    pii::{PiiAction, PiiPolicy},
};
use serde::{Deserialize, Serialize};

use super::print;

/// How often callers may call, beside each tenant's own limit. `Debug` shows no password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub redis_url: String,
    pub redis_prefix: String,
    pub redis_timeout_millis: u64,
    pub divide_by: NonZeroU32,
    pub requests_at_once: NonZeroU32,
    pub principal_per_minute: u32,
    pub key_per_minute: u32,
    pub tool_per_minute: u32,
    pub routes: Vec<RouteLimit>,
    pub tools: BTreeMap<String, NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            redis_url: String::new(),
            redis_prefix: "mcp".to_owned(),
            redis_timeout_millis: 250,
            divide_by: NonZeroU32::MIN,
            requests_at_once: const { NonZeroU32::new(256).unwrap() },
            principal_per_minute: 0,
            key_per_minute: 0,
            tool_per_minute: 0,
            routes: Vec::new(),
            tools: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("redis_url", &print::without_password(&self.redis_url))
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}

impl Limits {
    /// What requests are held to; 0 stands for no limit.
    pub(crate) fn policy(&self) -> LimitPolicy {
        LimitPolicy {
            principal_per_minute: NonZeroU32::new(self.principal_per_minute),
            key_per_minute: NonZeroU32::new(self.key_per_minute),
            routes: self.routes.clone(),
            tool_per_minute: NonZeroU32::new(self.tool_per_minute),
            tools: self.tools.clone(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.redis_timeout_millis == 0 {
            return Err(refused("limits.redis_timeout_millis must be at least 1"));
        }
        self.policy().validate().map_err(|error| refused(&format!("limits: {}", error.message())))
    }
}

/// What decides beside permissions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    pub rego: bool,
    pub opa_url: String,
    pub opa_path: String,
    pub opa_revision: String,
    pub opa_timeout_millis: u64,
    pub opa_remember_seconds: u64,
    pub opa_token_file: PathBuf,
    pub opa_ca: PathBuf,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rego: false,
            opa_url: String::new(),
            opa_path: "mcp/authz".to_owned(),
            opa_revision: String::new(),
            opa_timeout_millis: 1_000,
            opa_remember_seconds: 5,
            opa_token_file: PathBuf::new(),
            opa_ca: PathBuf::new(),
        }
    }
}

impl Policy {
    pub(super) fn check(&self) -> Result<()> {
        match self.opa_timeout_millis {
            0 => Err(refused("policy.opa_timeout_millis must be at least 1")),
            _ => Ok(()),
        }
    }
}

/// What wraps the data keys of tenants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    pub backend: VaultBackend,
    pub earlier: EarlierVault,
    pub older_master_key_files: Vec<PathBuf>,
    pub address: String,
    pub mount: String,
    pub key: String,
    pub namespace: String,
    pub token: String,
    pub token_file: PathBuf,
    pub ca: PathBuf,
    pub ttl_seconds: u64,
    pub hold_seconds: u64,
    pub timeout_millis: u64,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            backend: VaultBackend::MasterKey,
            earlier: EarlierVault::None,
            older_master_key_files: Vec::new(),
            address: String::new(),
            mount: "transit".to_owned(),
            key: String::new(),
            namespace: String::new(),
            token: String::new(),
            token_file: PathBuf::new(),
            ca: PathBuf::new(),
            ttl_seconds: 60,
            hold_seconds: 900,
            timeout_millis: 5_000,
        }
    }
}

/// A kind of vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultBackend {
    #[default]
    MasterKey,
    Transit,
}

/// The vault before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlierVault {
    #[default]
    None,
    MasterKey,
    Transit,
}

impl Vault {
    /// Whether HashiCorp Vault is asked at all.
    pub(crate) fn uses_transit(&self) -> bool {
        self.backend == VaultBackend::Transit || self.earlier == EarlierVault::Transit
    }

    /// The environment variable that holds the token, if one is named.
    ///
    /// # Errors
    /// `InvalidInput` for a token that stands in the file itself.
    pub(crate) fn token_variable(&self) -> Result<Option<&str>> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let variable = self.token.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match variable.filter(|name| !name.is_empty() && !name.contains(['$', '{', '}'])) {
            Some(name) => Ok(Some(name)),
            None => Err(refused(
                "vault.token must be ${VARIABLE}: a token does not belong into the configuration",
            )),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let same = match self.earlier {
            EarlierVault::None => false,
            EarlierVault::MasterKey => self.backend == VaultBackend::MasterKey,
            EarlierVault::Transit => self.backend == VaultBackend::Transit,
        };
        let variable = self.token_variable()?;
        let from_file = !self.token_file.as_os_str().is_empty();
        if self.ttl_seconds == 0 || self.timeout_millis == 0 {
            return Err(refused("vault.ttl_seconds and vault.timeout_millis must be at least 1"));
        }
        if self.hold_seconds < self.ttl_seconds {
            return Err(refused("vault.hold_seconds must not be below vault.ttl_seconds"));
        }
        if same {
            return Err(refused("vault.earlier names the vault that vault.backend does; set it to \"none\""));
        }
        if variable.is_some() && from_file {
            return Err(refused("set vault.token or vault.token_file, not both"));
        }
        if self.uses_transit()
            && (self.address.is_empty() || self.key.is_empty() || (variable.is_none() && !from_file))
        {
            return Err(refused(
                "the vault \"transit\" needs vault.address, vault.key, and vault.token or vault.token_file",
            ));
        }
        Ok(())
    }
}

/// Where the audit log goes as it grows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Syslog {
    pub address: String,
    pub server_name: String,
    pub ca: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    pub receipt: SyslogReceipt,
    pub hostname: String,
    pub enterprise: u32,
    pub positions_dir: PathBuf,
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            address: String::new(),
            server_name: String::new(),
            ca: PathBuf::new(),
            client_cert: PathBuf::new(),
            client_key: PathBuf::new(),
            receipt: SyslogReceipt::CloseNotify,
            hostname: "mcp-platform".to_owned(),
            enterprise: 32_473,
            positions_dir: PathBuf::new(),
        }
    }
}

/// What counts as a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogReceipt {
    #[default]
    CloseNotify,
    Closed,
}

impl Syslog {
    pub(super) fn check(&self) -> Result<()> {
        let complaint = if !self.address.is_empty() && self.ca.as_os_str().is_empty() {
            "audit.syslog.address needs audit.syslog.ca, the certificates that vouch for the receiver"
        } else if self.client_cert.as_os_str().is_empty() != self.client_key.as_os_str().is_empty() {
            "audit.syslog.client_cert and audit.syslog.client_key go together: set both or neither"
        } else {
            return Ok(());
        };
        Err(refused(complaint))
    }
}

/// Personal data and secrets, in what servers answer, in what is stored and in the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pii {
    pub tool_results: PiiMode,
    pub contexts: PiiMode,
    pub logs: PiiMode,
    pub tenants: BTreeMap<String, PiiMode>,
    pub hash_key_file: PathBuf,
}

impl Pii {
    pub(super) fn check(&self) -> Result<()> {
        let hashes =
            std::iter::once(&self.contexts).chain(self.tenants.values()).any(|mode| *mode == PiiMode::Hash);
        match hashes && self.hash_key_file.as_os_str().is_empty() {
            true => Err(refused(
                "\"hash\" in pii.contexts and pii.tenants needs pii.hash_key_file: what is stored must be hashed alike \
                 by every replica, and after a restart",
            )),
            false => Ok(()),
        }
    }
}

/// What becomes of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PiiMode {
    #[default]
    Off,
    Mask,
    Hash,
    Refuse,
}

impl PiiMode {
    /// The same with everything that is found.
    pub(crate) const fn policy(self) -> PiiPolicy {
        PiiPolicy::all(match self {
            Self::Off => PiiAction::Allow,
            Self::Mask => PiiAction::Mask,
            Self::Hash => PiiAction::Hash,
            Self::Refuse => PiiAction::Refuse,
        })
    }
}

fn refused(complaint: &str) -> Error {
    Error::invalid_input("config.load", complaint.to_owned())
}

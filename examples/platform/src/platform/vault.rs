//! What wraps the data keys of tenants, as the configuration says.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mcp_core::{
    Result,
    clock::SystemClock,
    key::{
        DataKeyStore, DataKeys, DataKeysConfig, KeyVault, MasterKey, MasterKeyVault, TransitConfig,
        TransitVault, VaultSuccession,
    },
    net::{Addresses, HttpClient, HttpConfig},
};

use super::secrets;
use crate::config::{self, EarlierVault, VaultBackend};

/// How often a token file is read again: whoever renews the token writes it there.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// Longest answer of Vault's that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// The data keys, and what keeps the vault's token fresh.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) data_keys: Arc<DataKeys>,
    pub(super) token: Option<TokenFile>,
}

/// Opens the vault; nobody is asked yet.
///
/// # Errors
/// `InvalidInput` that names the setting.
pub(super) async fn open(
    settings: &config::Vault,
    store: Arc<dyn DataKeyStore>,
    master: MasterKey,
) -> Result<Opened> {
    let mut older = Vec::with_capacity(settings.older_master_key_files.len());
    for file in &settings.older_master_key_files {
        // Not made where it is missing: a new key opens nothing.
        older.push(MasterKey::from_base64(&secrets::from_file("vault.older_master_key_files", file).await?)?);
    }
    let master = MasterKeyVault::new(master).with_older(older);
    let (mut transit, mut token) = (None, None);
    if settings.uses_transit() {
        let vault = Arc::new(connect(settings).await?);
        if !settings.token_file.as_os_str().is_empty() {
            token = Some(TokenFile { vault: vault.clone(), file: settings.token_file.clone() });
        }
        transit = Some(vault as Arc<dyn KeyVault>);
    }
    let of_backend = |wanted: bool| if wanted { transit.clone() } else { None };
    let current = of_backend(settings.backend == VaultBackend::Transit);
    let earlier = match settings.earlier {
        EarlierVault::None => None,
        EarlierVault::MasterKey => Some(Arc::new(master.clone()) as Arc<dyn KeyVault>),
        EarlierVault::Transit => of_backend(true),
    };
    let current = current.unwrap_or_else(|| Arc::new(master));
    let vault: Arc<dyn KeyVault> = match earlier {
        None => current,
        Some(earlier) => Arc::new(VaultSuccession::new(current, vec![earlier])),
    };
    let kept = DataKeysConfig {
        ttl: Duration::from_secs(settings.ttl_seconds),
        hold: Duration::from_secs(settings.hold_seconds),
        patience: Duration::from_millis(settings.timeout_millis),
        ..DataKeysConfig::default()
    };
    let data_keys = DataKeys::new(store, vault, Arc::new(SystemClock), kept);
    Ok(Opened { data_keys: Arc::new(data_keys), token })
}

async fn connect(settings: &config::Vault) -> Result<TransitVault> {
    let token = match settings.token_variable()? {
        Some(variable) => secrets::from_environment("vault.token", variable)?,
        None => secrets::from_file("vault.token_file", &settings.token_file).await?,
    };
    let mut transit = TransitConfig::new(settings.address.clone(), settings.key.clone(), token);
    transit.mount.clone_from(&settings.mount);
    transit.namespace = Some(settings.namespace.clone()).filter(|name| !name.is_empty());
    let client = HttpClient::new(HttpConfig {
        addresses: Addresses::Any,
        body_limit: MAX_ANSWER,
        roots: secrets::roots("vault.ca", &settings.ca).await?,
        ..HttpConfig::default()
    })?;
    TransitVault::new(transit, client)
}

/// A file that somebody renews Vault's token in.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    vault: Arc<TransitVault>,
    file: PathBuf,
}

impl TokenFile {
    /// Takes what is there into use, again and again. Ends when it is dropped.
    pub(super) async fn follow(self) {
        let mut ticks = tokio::time::interval(READ_AGAIN);
        // The first comes at once, and the token was just read.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let read = secrets::from_file("vault.token_file", &self.file).await;
            if let Err(error) = read.and_then(|token| self.vault.set_token(token)) {
                tracing::warn!(error = error.report(), "the vault's token was not read again");
            }
        }
    }
}

//! Secrets in memory, and the keys that seal those at rest.
//!
//! What belongs to a tenant is sealed by a data key of that tenant's own ([`DataKeys`]), and the data keys are
//! wrapped by a [`KeyVault`]: a master key from a file or the environment ([`MasterKeyVault`]), or HashiCorp
//! Vault (`TransitVault`, feature `vault`). Destroying a tenant's data keys destroys all that they sealed,
//! wherever it was copied.

#[cfg(feature = "envelope")]
mod data;
pub(crate) mod file;
mod master;
#[cfg(feature = "envelope")]
mod master_vault;
mod secret;
#[cfg(feature = "envelope")]
mod succession;
#[cfg(feature = "vault")]
mod transit;
#[cfg(feature = "envelope")]
mod vault;

#[cfg(feature = "postgres")]
pub use data::PostgresDataKeyStore;
#[cfg(feature = "sqlite")]
pub use data::SqliteDataKeyStore;
#[cfg(feature = "envelope")]
pub use data::{
    Cell, Column, DataKeyStore, DataKeys, DataKeysConfig, KeyHealth, KeyState, MAX_DATA_KEYS, MAX_PLAINTEXT,
    MemoryDataKeyStore, NewDataKey, Rewrap, RewrapBatch, Sealed, Shredded, StoredDataKey, VaultState,
};
pub use master::MasterKey;
#[cfg(feature = "envelope")]
pub use master_vault::MasterKeyVault;
pub use secret::Secret;
#[cfg(feature = "envelope")]
pub use succession::VaultSuccession;
#[cfg(feature = "vault")]
pub use transit::{TransitConfig, TransitVault};
#[cfg(feature = "envelope")]
pub use vault::{KeyBytes, KeyPlace, KeyVault, WrappedKey};

//! Where wrapped data keys are kept.

use std::fmt;

use async_trait::async_trait;

use crate::{
    audit::AuditRecord,
    clock::Timestamp,
    error::{Detail, Error, ErrorKind, Result},
    key::WrappedKey,
    scope::{PlatformScope, Scope, TenantId},
};

/// Most data keys a tenant can have. All are kept, since nobody knows what they sealed.
pub const MAX_DATA_KEYS: u32 = 1000;

/// A data key to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDataKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its number among the tenant's, from 1.
    pub version: u32,
    /// The key, wrapped.
    pub wrapped: WrappedKey,
    /// A digest of the key, by which a wrong one is known. It tells nothing about 256 random bits.
    pub check: [u8; 32],
}

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDataKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its number among the tenant's, from 1.
    pub version: u32,
    /// Whether there still is a key.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether a stored data key can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It can.
    Live {
        /// The key, wrapped.
        wrapped: WrappedKey,
        /// As [`NewDataKey::check`].
        check: [u8; 32],
    },
    /// Never again.
    Destroyed {
        /// When it was destroyed.
        at: Timestamp,
        /// What it was wrapped by last; empty if there never was a key.
        wrapping_key: String,
    },
}

/// One key of a tenant, wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrap {
    /// Which key.
    pub version: u32,
    /// How it was wrapped.
    pub from: WrappedKey,
    /// How it is wrapped now.
    pub to: WrappedKey,
}

/// That a tenant's data keys were destroyed: what a receipt of its erasure needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shredded {
    /// Whose keys.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// How many there were.
    pub keys: u32,
    /// What they were wrapped by, each once. A backup of the control tables from before `at` still holds the
    /// wrapped keys: it is as unreadable as the rest once these wrapping keys are gone too, which they may be
    /// as soon as [`DataKeyStore::wrapping_keys`] names them no more.
    pub wrapping_keys: Vec<String>,
}

/// Keeps the wrapped data keys of tenants, above the tenants' own data: a copy of a tenant's data holds none.
///
/// # What it promises
/// 1. **One first key**: of many who bring a tenant's first key at once, one is kept and all get that one.
/// 2. **One next key**: a key is added only behind the newest there is.
/// 3. **Tenants apart**: a tenant's keys are found under its id only.
/// 4. **No lost wrapping**: a key is wrapped anew only as it was found, all keys of a call or none.
/// 5. **Shredding is final**: all keys of a tenant are destroyed at once, none is ever added behind, doing it
///    again changes nothing and answers the same; a tenant without keys can get none afterwards.
/// 6. **Pages are complete and in order**: every tenant that has a live key is on exactly one page.
/// 7. **Durable when acknowledged**, on the backends that have a disk, together with its audit record.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait DataKeyStore: Send + Sync + fmt::Debug {
    /// The tenant's newest key, destroyed ones too.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable), `Corrupted` for a row that does not parse; so for all.
    async fn newest(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Option<StoredDataKey>>;

    /// The tenant's key of that version.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    async fn find(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        version: u32,
    ) -> Result<Option<StoredDataKey>>;

    /// All keys of the tenant, the oldest first, at most [`MAX_DATA_KEYS`].
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    async fn all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<StoredDataKey>>;

    /// Keeps `key`, of version 1, if the tenant has none, and answers with the newest it then has.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    async fn first(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey>;

    /// Keeps `key` behind the tenant's newest.
    ///
    /// # Errors
    /// As [`newest`](Self::newest); [`Conflict`](crate::ErrorKind::Conflict) if its version is not the one
    /// after the newest, [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no key or was shredded,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) past [`MAX_DATA_KEYS`].
    async fn rotate(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey>;

    /// Replaces the wrappings of a tenant's keys.
    ///
    /// # Errors
    /// As [`newest`](Self::newest); [`Conflict`](crate::ErrorKind::Conflict) if one is not wrapped as `from`
    /// says any more.
    async fn rewrap(&self, scope: &PlatformScope, tenant: &TenantId, keys: &[Rewrap]) -> Result<()>;

    /// Destroys all keys of the tenant.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    async fn shred(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Shredded>;

    /// Up to `limit` tenants that have live keys, in the order of their ids, behind `after`.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    async fn tenants(
        &self,
        scope: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>>;

    /// What live keys are wrapped by, with their number, in the order of the names; at most 100. A wrapping key
    /// that is not among them is needed for backups alone.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    async fn wrapping_keys(&self, scope: &PlatformScope) -> Result<Vec<(String, u64)>>;

    /// Writes a record into the audit log of the scope's tenant. A backend without one has nothing to do.
    ///
    /// # Errors
    /// As [`newest`](Self::newest); [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no place.
    async fn record(&self, scope: &Scope, record: AuditRecord) -> Result<()>;
}

/// What is answered for a shredded tenant.
pub(super) fn shredded() -> Error {
    Error::not_found(
        "key.open",
        "the tenant's data keys were destroyed; what they sealed can never be opened",
    )
}

pub(super) fn not_the_next(newest: u32) -> Error {
    Error::new(ErrorKind::Conflict, "key.rotate", "another data key was added first; read again")
        .with_detail(Detail::Conflict { current: i64::from(newest) })
}

pub(super) fn rewrapped_meanwhile() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "key.rewrap",
        "a data key was wrapped anew or destroyed meanwhile; read again",
    )
}

pub(super) fn too_many() -> Error {
    let message = format!("a tenant has at most {MAX_DATA_KEYS} data keys");
    Error::invalid_input("key.rotate", message)
}

/// Checks that `key` may follow `newest`.
pub(super) fn may_follow(newest: Option<&StoredDataKey>, key: &NewDataKey) -> Result<()> {
    let newest = newest.ok_or_else(|| Error::not_found("key.rotate", "the tenant has no data key yet"))?;
    if matches!(newest.state, KeyState::Destroyed { .. }) {
        return Err(shredded());
    }
    if newest.version >= MAX_DATA_KEYS {
        return Err(too_many());
    }
    if newest.version + 1 == key.version { Ok(()) } else { Err(not_the_next(newest.version)) }
}

/// The receipt that the tombstones of a tenant make.
pub(super) fn receipt(tenant: &TenantId, keys: &[StoredDataKey]) -> Result<Shredded> {
    let mut receipt = Shredded {
        tenant: tenant.clone(),
        at: Timestamp::from_micros(0),
        keys: 0,
        wrapping_keys: Vec::new(),
    };
    for key in keys {
        let KeyState::Destroyed { at, wrapping_key } = &key.state else {
            return Err(Error::internal("key.shred", "a data key outlived its shredding"));
        };
        receipt.at = receipt.at.max(*at);
        if !wrapping_key.is_empty() {
            receipt.keys += 1;
            receipt.wrapping_keys.push(wrapping_key.clone());
        }
    }
    receipt.wrapping_keys.sort_unstable();
    receipt.wrapping_keys.dedup();
    Ok(receipt)
}

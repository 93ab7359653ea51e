//! Sealed columns: what a data key makes of a value, and where the value belongs.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::{
    error::{Detail, Error, ErrorKind, Result},
    key::{KeyBytes, Secret, master},
    scope::TenantId,
};

/// The largest value that is sealed, in bytes: 1 MiB. Larger things are files, and no columns.
pub const MAX_PLAINTEXT: usize = 1024 * 1024;

/// The layout's number; 1 is that of what a [`MasterKey`](crate::key::MasterKey) seals by itself.
const LAYOUT: u8 = 2;
/// The layout's number and the data key's version.
const HEADER_LEN: usize = 5;
const TAG_LEN: usize = 16;

/// A column that holds sealed values: the mark that makes it one.
///
/// ```
/// use mcp_core::key::Column;
///
/// const PRIVATE_KEY: Column = Column::new("signing_key", "private_key");
/// let cell = PRIVATE_KEY.row("kid-1");
/// assert_eq!(cell.to_string(), "signing_key.private_key/kid-1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    table: &'static str,
    column: &'static str,
}

impl Column {
    /// The column of that name in that table. Neither name may change once a value is sealed: it is bound to
    /// both.
    #[must_use]
    pub const fn new(table: &'static str, column: &'static str) -> Self {
        Self { table, column }
    }

    /// The column's cell in the row of that id, which is unique within tenant and table and does not change.
    #[must_use]
    pub const fn row(self, id: &str) -> Cell<'_> {
        Cell { column: self, row: id }
    }
}

/// Where a sealed value belongs. Moved to another row, column, table or tenant it does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    column: Column,
    row: &'a str,
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}/{}", self.column.table, self.column.column, self.row)
    }
}

/// A sealed value as it is stored: layout, the data key's version, nonce, ciphertext, tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// What a column holds.
    ///
    /// # Errors
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if it is not of this layout. Whether it opens is another
    /// matter.
    pub fn from_stored(bytes: Vec<u8>) -> Result<Self> {
        if !Self::is_sealed(&bytes) || bytes.len() < HEADER_LEN + NONCE_LEN + TAG_LEN {
            return Err(unopened("a stored value is not sealed, or cut"));
        }
        Ok(Self(bytes))
    }

    /// Whether the bytes are of this layout rather than of the one of a
    /// [`MasterKey`](crate::key::MasterKey), for columns that hold both.
    #[must_use]
    pub fn is_sealed(bytes: &[u8]) -> bool {
        bytes.first() == Some(&LAYOUT)
    }

    /// The version of the data key that opens it.
    #[must_use]
    pub fn key_version(&self) -> u32 {
        self.0.get(1..HEADER_LEN).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes, key version {})", self.0.len(), self.key_version())
    }
}

/// A data key, open.
pub(super) struct DataKey {
    version: u32,
    key: RandomizedNonceKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.version)
    }
}

impl DataKey {
    pub(super) fn new(version: u32, bytes: &KeyBytes) -> Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.expose())
            .map_err(|_| Error::internal("key.open", "a data key cannot be used"))?;
        Ok(Self { version, key })
    }

    pub(super) fn seal(&self, tenant: &TenantId, cell: Cell<'_>, plaintext: &[u8]) -> Result<Sealed> {
        if plaintext.len() > MAX_PLAINTEXT {
            let message = format!("a sealed column holds at most {MAX_PLAINTEXT} bytes");
            return Err(Error::new(ErrorKind::TooLarge, "key.seal", message)
                .with_detail(Detail::Limit { bytes: MAX_PLAINTEXT as u64 }));
        }
        let mut header = [LAYOUT; HEADER_LEN];
        header[1..].copy_from_slice(&self.version.to_be_bytes());
        let mut buffer = plaintext.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound_to(&header, tenant, cell)), &mut buffer)
            .map_err(|_| Error::internal("key.seal", "sealing failed"))?;
        let mut out = Vec::with_capacity(HEADER_LEN + NONCE_LEN + buffer.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut buffer);
        Ok(Sealed(out))
    }

    pub(super) fn open(&self, tenant: &TenantId, cell: Cell<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>> {
        let refused = || unopened("a sealed value does not open: it was altered, or belongs elsewhere");
        let (header, rest) = sealed.0.split_at_checked(HEADER_LEN).ok_or_else(refused)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut buffer = ciphertext.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(bound_to(header, tenant, cell)), &mut buffer)
            .map_err(|_| refused())?
            .len();
        buffer.truncate(opened);
        Ok(Secret::new(buffer))
    }
}

fn bound_to(header: &[u8], tenant: &TenantId, cell: Cell<'_>) -> Vec<u8> {
    let Cell { column: Column { table, column }, row } = cell;
    let mut bound = header.to_vec();
    bound.append(&mut master::associated(&[tenant.as_str(), table, column, row]));
    bound
}

fn unopened(message: &'static str) -> Error {
    Error::new(ErrorKind::Corrupted, "key.open", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMN: Column = Column::new("note", "text");

    fn key(version: u32) -> DataKey {
        DataKey::new(version, &Secret::new([9; 32])).unwrap()
    }

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).unwrap()
    }

    #[test]
    fn the_version_in_the_header_is_the_keys_and_part_of_what_is_sealed() {
        let sealed = key(0x0102_0304).seal(&tenant("acme"), COLUMN.row("1"), b"private").unwrap();
        assert_eq!(sealed.key_version(), 0x0102_0304);
        let mut bytes = sealed.into_bytes();
        bytes[4] = 5;
        let renumbered = Sealed::from_stored(bytes).unwrap();
        assert!(key(0x0102_0305).open(&tenant("acme"), COLUMN.row("1"), &renumbered).is_err());
    }

    #[test]
    fn neighbouring_names_are_kept_apart() {
        let sealed = key(1).seal(&tenant("acme"), Column::new("ab", "c").row("d"), b"x").unwrap();
        for other in [Column::new("a", "bc").row("d"), Column::new("ab", "cd").row(""), COLUMN.row("d")] {
            assert!(key(1).open(&tenant("acme"), other, &sealed).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_with_the_limit() {
        let error = key(1).seal(&tenant("acme"), COLUMN.row("1"), &vec![0; MAX_PLAINTEXT + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(key(1).seal(&tenant("acme"), COLUMN.row("1"), &vec![0; MAX_PLAINTEXT]).is_ok());
    }

    #[test]
    fn debug_shows_neither_value_nor_key() {
        let sealed = key(1).seal(&tenant("acme"), COLUMN.row("1"), b"private").unwrap();
        assert_eq!(format!("{sealed:?} {:?}", key(1)), "Sealed(40 bytes, key version 1) DataKey(1)");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_nothing_else_does(
            plaintext in proptest::collection::vec(any::<u8>(), 0..200),
            row in ".{0,20}",
            other_row in ".{0,20}",
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let (acme, cell) = (tenant("acme"), COLUMN.row(&row));
            let sealed = key(1).seal(&acme, cell, &plaintext).unwrap();
            let opened = key(1).open(&acme, cell, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), &plaintext);

            let mut altered = sealed.as_bytes().to_vec();
            let at = at.index(altered.len());
            altered[at] ^= flip;
            let opened = Sealed::from_stored(altered).and_then(|sealed| key(1).open(&acme, cell, &sealed));
            prop_assert!(opened.is_err(), "byte {} altered", at);
            let cut = Sealed::from_stored(sealed.as_bytes()[..at].to_vec());
            prop_assert!(cut.and_then(|sealed| key(1).open(&acme, cell, &sealed)).is_err(), "cut at {}", at);

            prop_assert!(key(1).open(&tenant("beta"), cell, &sealed).is_err());
            prop_assert!(key(1).open(&acme, Column::new("note", "title").row(&row), &sealed).is_err());
            if row != other_row {
                prop_assert!(key(1).open(&acme, COLUMN.row(&other_row), &sealed).is_err());
            }
        }
    }
}

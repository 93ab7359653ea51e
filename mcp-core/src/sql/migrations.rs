//! What each crate contributes to the two sets of tables, and how that is applied.
//!
//! A crate ships one [`Migrations`] per backend, embedded. The kernel keeps a table per crate
//! (`_migrations_core`), so crates number their migrations independently, and applies all of a place's
//! pending migrations in one transaction under a lock of that place: a crash in the middle leaves nothing.
//!
//! An applied migration whose text has changed is refused. One that this program does not know is accepted:
//! a newer replica applied it, so a migration must leave what older replicas use.

use std::{borrow::Cow, collections::HashSet};

use sqlx::{
    SqlStr,
    migrate::{Migrate, MigrateError, MigrationType, Migrator},
};

use super::fault::fault;
use crate::error::{Error, ErrorKind, Result};

/// One migration. The text must never change once it has been released.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place in the order, from 1, unique within its crate and set.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Its statements. On PostgreSQL they run in a schema that is set already: names are not qualified.
    pub sql: &'static str,
}

/// What one crate contributes, for one backend.
///
/// Every table of the tenant set has a `tenant_id` column, and its key begins with it; the kernel refuses a
/// migration that makes one without.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// The crate's short name: `[a-z][a-z0-9_]{0,30}`, as in `tenancy`.
    pub name: &'static str,
    /// For the control tables, in order.
    pub control: &'static [Migration],
    /// For every place that holds tenants' data, in order.
    pub tenant: &'static [Migration],
}

/// One of the two sets of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Set {
    Control,
    Tenant,
}

/// All crates' migrations, checked.
#[derive(Debug, Clone)]
pub(crate) struct Plan(Vec<Migrations>);

impl Plan {
    /// Core's own first, then the others in the order given.
    pub(crate) fn new(core: Migrations, others: &[Migrations]) -> Result<Self> {
        let mut all = vec![core];
        all.extend_from_slice(others);
        let mut names = HashSet::new();
        for crate_ in &all {
            let first = crate_.name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
            let rest = crate_.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !first || !rest || crate_.name.len() > 31 {
                let message =
                    format!("`{}` is no name for a set of migrations: [a-z][a-z0-9_]{{0,30}}", crate_.name);
                return Err(Error::invalid_input("sql.migrations", message));
            }
            if !names.insert(crate_.name) {
                let message = format!("two crates bring migrations named `{}`", crate_.name);
                return Err(Error::invalid_input("sql.migrations", message));
            }
            for set in [crate_.control, crate_.tenant] {
                if !set.windows(2).all(|pair| pair[0].version < pair[1].version) {
                    let message = format!("the migrations of `{}` are not in ascending order", crate_.name);
                    return Err(Error::invalid_input("sql.migrations", message));
                }
            }
        }
        Ok(Self(all))
    }

    /// Applies what is pending, within the transaction that `conn` has open.
    pub(crate) async fn apply<C: Migrate + Send>(&self, set: Set, conn: &mut C) -> Result<()> {
        for crate_ in &self.0 {
            migrator(crate_, set)
                .run_direct(None, conn, false)
                .await
                .map_err(|error| refusal(crate_.name, error))?;
        }
        Ok(())
    }

    /// Each crate's table of applied migrations.
    pub(crate) fn tables(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|crate_| table(crate_.name))
    }

    /// Whether everything this program knows is in `applied`, unchanged. `applied` has an item for each of
    /// [`tables`](Self::tables): its rows (version, checksum).
    pub(crate) fn is_current(&self, set: Set, applied: &[Vec<(i64, Vec<u8>)>]) -> Result<bool> {
        for (crate_, applied) in self.0.iter().zip(applied) {
            for migration in migrator(crate_, set).iter() {
                match applied.iter().find(|(version, _)| *version == migration.version) {
                    None => return Ok(false),
                    Some((_, checksum)) if **checksum == *migration.checksum => {}
                    Some(_) => {
                        return Err(refusal(crate_.name, MigrateError::VersionMismatch(migration.version)));
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Needs no quotes: the crate's name was checked.
fn table(name: &str) -> String {
    format!("_migrations_{name}")
}

fn migrator(crate_: &Migrations, set: Set) -> Migrator {
    let migrations = match set {
        Set::Control => crate_.control,
        Set::Tenant => crate_.tenant,
    };
    let migrations = migrations.iter().map(|migration| {
        sqlx::migrate::Migration::new(
            migration.version,
            Cow::Borrowed(migration.name),
            MigrationType::Simple,
            SqlStr::from_static(migration.sql),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(table(crate_.name));
    // sqlx's own lock is one for the whole database, so tenants would queue; ours is one per place.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

fn refusal(crate_: &str, error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMismatch(version) => Error::new(
            ErrorKind::Corrupted,
            "sql.migrate",
            format!(
                "migration {version} of `{crate_}` was applied with another text; use the program that applied it"
            ),
        ),
        MigrateError::Execute(error) => fault("sql.migrate", error),
        MigrateError::ExecuteMigration(error, version) => {
            fault("sql.migrate", error).with_context("crate", crate_).with_context("version", version)
        }
        other => {
            Error::internal("sql.migrate", format!("the migrations of `{crate_}` failed")).with_source(other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: Migrations = Migrations { name: "core", control: &[], tenant: &[] };

    fn complaint(others: &[Migrations]) -> String {
        Plan::new(CORE, others).unwrap_err().message().to_owned()
    }

    #[test]
    fn names_and_order_are_checked() {
        assert!(complaint(&[CORE]).contains("two crates"));
        assert!(complaint(&[Migrations { name: "a\"b", ..CORE }]).contains("no name"));
        const TWO: Migration = Migration { version: 2, name: "b", sql: "" };
        let unordered =
            Migrations { name: "x", control: &[TWO, Migration { version: 1, ..TWO }], tenant: &[] };
        assert!(complaint(&[unordered]).contains("ascending"));
    }
}

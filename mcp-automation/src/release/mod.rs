//! Releases of servers: installed into folders that do not change, kept in a store, switched while calls go on.
//!
//! [`Installer`] brings one release from its registry into a folder of its own; [`ReleaseStore`] remembers which
//! servers were added, which releases of them there are and which one serves; [`Releases`] joins both with the
//! [`Fleet`](crate::fleet::Fleet): add, use another release, remove.

mod folder;
mod install;
mod manager;
mod manifest;
mod memory;
mod model;
mod npm;
mod operation;
#[cfg(feature = "postgres")]
mod postgres;
mod pypi;
mod reconcile;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod tool;
mod tree;

pub use install::{Installed, Installer, InstallerConfig};
pub use manager::{Releases, ReleasesDeps};
pub use manifest::{Manifest, Runtime};
pub use memory::MemoryReleaseStore;
pub use model::{AddedServer, NewServer, Refusal, Release, ReleaseState, Settings};
pub use operation::{Failure, Operation, OperationId, OperationKind, OperationState};
#[cfg(feature = "postgres")]
pub use postgres::PostgresReleaseStore;
pub use reconcile::Local;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteReleaseStore;
pub use store::{MAX_PAGE, ReleaseStore};

//! Releases of servers: from a registry to a running server and from one release to another.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unexpected must fail")]

mod archives;
#[path = "../support/mod.rs"]
mod fleet_support;
mod install;
mod life;
mod packages;
mod real;
mod registry;
mod sources;
mod stores;

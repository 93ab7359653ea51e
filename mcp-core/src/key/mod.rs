//! Secrets in memory, and the key that seals those at rest.

pub(crate) mod file;
mod master;
mod secret;

pub use master::MasterKey;
pub use secret::Secret;

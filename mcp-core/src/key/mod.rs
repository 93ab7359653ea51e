//! Secrets in memory.

mod secret;

pub use secret::Secret;

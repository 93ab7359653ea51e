//! Attacks, each a named test that shows the refusal, on a platform in memory with its whole stack of layers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are not test functions")]

mod api_keys;
mod certificates;
#[cfg(feature = "issuers")]
mod foreign_keys;
#[cfg(feature = "issuers")]
mod foreign_network;
#[cfg(feature = "issuers")]
mod foreign_opaque;
#[cfg(feature = "issuers")]
mod foreign_tokens;
#[cfg(feature = "issuers")]
mod issuers;
mod operators;
mod pii;
mod policies;
mod refresh;
mod sealed_keys;
mod signing_keys;
mod support;
mod tenant_boundary;
mod tokens;

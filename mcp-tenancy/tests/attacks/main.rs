//! Attacks, each a named test that shows the refusal, on a platform in memory with its whole stack of layers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are not test functions")]

mod api_keys;
mod certificates;
mod operators;
mod pii;
mod policies;
mod sealed_keys;
mod refresh;
mod signing_keys;
mod support;
mod tenant_boundary;
mod tokens;

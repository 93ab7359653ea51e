//! Keys and vaults: the suites on what is embedded, and what data keys promise.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

mod data_keys;
mod sqlite;
mod suites;
mod support;
mod vault_fails;

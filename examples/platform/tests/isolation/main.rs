//! Tenants apart, shown on the platform in this process: by properties, by the database's catalogue, and behind a
//! pooler.
//!
//! What needs PostgreSQL finds it in `DATABASE_URL`: `cargo xtask test` starts a server and sets it. Without it
//! those tests fail.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod broken;
mod catalogue;
mod interference;
mod observed;
mod operations;
mod world;

//! The binary as people and programs run it, against a platform that serves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod commands;
mod credentials;
mod guards;
mod reference;
mod refusals;
mod support;

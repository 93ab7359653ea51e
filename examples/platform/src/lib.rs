//! The reference server of the MCP platform SDK, as a library: what the binary `mcp-platform` runs and tests
//! drive.
//!
//! * [`config`] is every setting; [`Platform`] is what they make: stores, tenancy, fleet, gateway.
//! * [`app()`] is the stack a request goes through; [`serve`] is the listeners in front of it.
//! * [`embedded`] is the platform inside a program of one's own, without listeners.
//! * `cli` is the command line, `api` the REST API, `demo` the demonstration.

mod access;
mod api;
mod app;
mod beside;
mod cli;
pub mod client;
pub mod config;
mod demo;
pub mod embedded;
mod platform;
mod rest;
pub mod serve;

pub use app::{app, operations};
pub use cli::Cli;
pub use platform::{Administration, Platform, Readiness};

/// The Rust of the guide compiles and runs, because it is a doc test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/embed-in-axum.md")]
struct Guide;

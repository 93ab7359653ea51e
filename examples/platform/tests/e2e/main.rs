//! End to end: the binary as users run it, with real servers behind it and real clients in front.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod attacks;
mod certificates;
mod chat;
mod clients;
mod commands;
mod contexts;
mod credentials;
mod demo;
mod embedded;
mod exports;
mod guards;
mod guide;
mod inference;
mod isolation;
mod issuers;
mod kill;
mod kill_audit;
mod logs;
mod memories;
mod openapi;
mod operators;
mod outages;
mod personal;
mod policies;
mod postgres;
mod readme;
mod refusals;
mod releases;
#[path = "../../src/demo/scripted.rs"]
mod scripted;
mod serving;
mod support;
mod tenants;
#[path = "../../../../mcp-core/tests/transit/server.rs"]
mod transit;
mod vault;

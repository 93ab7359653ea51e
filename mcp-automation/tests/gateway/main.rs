//! The gateway as a tower service, called by requests without a socket.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected must fail")]

mod aggregate;
mod bad_input;
mod client;
mod drain;
#[path = "../support/mod.rs"]
mod fleet_support;
mod guards;
mod legacy;
mod modern;
mod real;
mod subscriptions;
mod support;
mod transparent;

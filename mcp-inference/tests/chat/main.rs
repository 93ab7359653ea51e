//! Providers and the router against upstreams that speak the real wire format, well and badly.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod conformance;
mod openai;
mod router;
mod upstream;

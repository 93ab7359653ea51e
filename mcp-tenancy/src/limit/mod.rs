//! How much: a [`RateLimiter`](mcp_core::limit::RateLimiter) in process.

mod cell;
mod memory;

pub use memory::GcraLimiter;

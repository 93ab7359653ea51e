//! The Node module `mcp-platform`: [`mcp_platform::embedded`] as promises.
//!
//! Every call makes a promise (`bridge`) that is rejected with an `Error` whose `code` is the error's kind.
//! There is no logic here.

mod bridge;
pub mod error;
pub mod launch;
pub mod platform;
mod shapes;
pub mod tenant;

//! What runs: the MCP gateway and the fleet of MCP servers behind it.
//!
//! * [`fleet`] reads `.mcp.json`, launches stdio servers, connects to HTTP servers and keeps them running.
//! * [`gateway`] serves one MCP endpoint per tenant over all of them.
//! * [`upstream`] is the seam between the two: one live connection to one server, whatever its transport.
//! * `source`, `archive` and `release` (feature `releases`) bring servers from npm and PyPI, keep each release in a
//!   folder of its own and switch between them.
//! * [`jsonrpc`] is the envelope on raw JSON that lets unknown fields pass through untouched.
//! * [`protocol`] holds the protocol's versions and names.

#[cfg(feature = "releases")]
pub mod archive;
#[cfg(all(feature = "releases", feature = "conformance"))]
pub mod conformance;
pub mod fleet;
pub mod gateway;
#[cfg(feature = "http-api")]
pub mod http_api;
pub mod jsonrpc;
pub mod protocol;
#[cfg(feature = "releases")]
pub mod release;
#[cfg(feature = "http-api")]
mod schema;
#[cfg(feature = "releases")]
pub mod source;
#[cfg(all(feature = "releases", any(feature = "sqlite", feature = "postgres")))]
mod sql;
pub mod upstream;

#[cfg(all(feature = "releases", feature = "postgres"))]
pub use sql::POSTGRES_MIGRATIONS;
#[cfg(all(feature = "releases", feature = "sqlite"))]
pub use sql::SQLITE_MIGRATIONS;

//! What runs: the MCP gateway and the fleet of MCP servers behind it.
//!
//! * [`fleet`] reads `.mcp.json`, launches stdio servers, connects to HTTP servers and keeps them running.
//! * [`gateway`] serves one MCP endpoint per tenant over all of them.
//! * [`upstream`] is the seam between the two: one live connection to one server, whatever its transport.
//! * `source`, `archive` and `release` (feature `releases`) bring servers from npm and PyPI, keep each release in a
//!   folder of its own and switch between them.
//! * [`jsonrpc`] is the envelope on raw JSON that lets unknown fields pass through untouched.
//! * [`protocol`] holds the protocol's versions and names.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use mcp_automation::{
//!     fleet::{Fleet, FleetConfig, FleetSpec},
//!     gateway::{Gateway, GatewayConfig},
//! };
//! use mcp_core::{audit::LoggedDenials, clock::SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mcp_core::Result<()> {
//! let file = r#"{ "mcpServers": { "search": { "type": "http", "url": "https://search.example.com/mcp" } } }"#;
//! let servers = FleetSpec::parse(".mcp.json", file, &Default::default())?;
//! assert_eq!(servers.servers()[0].name.as_str(), "search");
//! // A mistake is named with its place and the nearest known key.
//! let slip = FleetSpec::parse(".mcp.json", &file.replace("url", "ulr"), &Default::default()).unwrap_err();
//! assert!(slip.message().contains("did you mean `url`?"), "{slip}");
//!
//! // Connections and processes are made on first use. The gateway is a tower service: it wants a tenant's `Scope` in
//! // the extensions of each request, put there by layers like those of `mcp-tenancy`.
//! let fleet = Arc::new(Fleet::new(servers, FleetConfig::default()));
//! let (clock, denials) = (Arc::new(SystemClock), Arc::new(LoggedDenials));
//! let gateway = Gateway::new(GatewayConfig::default(), fleet.clone(), clock, denials)?;
//! # drop(gateway);
//! fleet.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

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

//! What runs: the MCP gateway and the fleet of MCP servers behind it.
//!
//! * [`fleet`] reads `.mcp.json`, launches stdio servers, connects to HTTP servers and keeps them running.
//! * [`gateway`] serves one MCP endpoint per tenant over all of them.
//! * [`upstream`] is the seam between the two: one live connection to one server, whatever its transport.
//! * [`jsonrpc`] is the envelope on raw JSON that lets unknown fields pass through untouched.
//! * [`protocol`] holds the protocol's versions and names.

pub mod fleet;
pub mod gateway;
pub mod jsonrpc;
pub mod protocol;
pub mod upstream;

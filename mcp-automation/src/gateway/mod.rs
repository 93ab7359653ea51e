//! One MCP endpoint per tenant over many servers.

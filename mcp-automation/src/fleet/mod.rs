//! The fleet of MCP servers: specifications, launching, supervision.

//! Errors of a connection.

use mcp_core::{Error, ErrorKind, error::Detail};

use crate::protocol::ServerName;

/// An error of `kind` that names the server in its text and as a detail.
pub(crate) fn server_error(server: &ServerName, kind: ErrorKind, why: &str) -> Error {
    Error::new(kind, "upstream.call", format!("server `{server}`: {why}"))
        .with_detail(Detail::Server { name: server.to_string() })
}

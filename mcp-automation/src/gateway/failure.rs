//! What a caller hears when a server fails.

use mcp_core::{Error, ErrorKind, Scope, error::Detail};
use serde_json::json;

use crate::{jsonrpc::Fault, protocol::ServerName};

/// The server did not answer by the deadline.
pub(super) fn too_slow(server: &ServerName, method: &str) -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        "gateway.call",
        format!("the server `{server}` did not answer `{method}` in time"),
    )
    .with_detail(Detail::Server { name: server.to_string() })
}

/// The fault of a server's failure, with its name, logged.
pub(super) fn of_server(scope: &Scope, server: &ServerName, error: &Error) -> Fault {
    tracing::warn!(
        tenant = %scope.tenant(), request_id = %scope.request_id(), %server,
        error = error.report(), "a call to a server failed"
    );
    let mut fault = Fault::from(error);
    let data = fault.data.get_or_insert_with(|| json!({}));
    if let Some(members) = data.as_object_mut() {
        members.entry("server").or_insert_with(|| json!(server));
    }
    fault
}

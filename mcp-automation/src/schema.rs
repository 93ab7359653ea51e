//! How names and versions look in an OpenAPI document.

use crate::{protocol::ServerName, release::OperationId, source::Version};

mcp_core::text_schema! {
    ServerName: "^[A-Za-z0-9_-]+$", 32, "everything", "A server's name in the gateway.";
    Version: "^[0-9][A-Za-z0-9.+!_-]*$", 64, "2026.1.14", "One exact version.";
    OperationId: "^[0-9a-f]{32}$", 32, "0199c6b57a1e7b3c8d2f0123456789ab", "Names an operation.";
}

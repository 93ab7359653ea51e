//! How ids look in an OpenAPI document.

use crate::{
    context::ContextId,
    memory::{MemoryId, Namespace},
};

mcp_core::text_schema! {
    ContextId: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", 36, "0199c6b5-7a1e-7b3c-8d2f-0123456789ab", "A context's id.";
    MemoryId: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", 36, "0199c6b5-7a1e-7b3c-8d2f-0123456789ab", "A memory's id.";
    Namespace: "^(user|agent|session)/.+$", 136, "user/user-789", "Whose memories: `user/…`, `agent/…` or `session/…`.";
}

//! The JSON-RPC error object.

use std::borrow::Cow;

use mcp_core::{Error, ErrorKind};
use serde::Serialize;
use serde_json::{Value, json};

/// Error codes of JSON-RPC 2.0 and of the Model Context Protocol.
pub mod code {
    /// Not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// Not a JSON-RPC message, or not one this endpoint takes.
    pub const INVALID_REQUEST: i64 = -32600;
    /// Unknown method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Unknown tool, bad parameters.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A failure on this side.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// Unknown resource (MCP up to 2025-11-25).
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// `Mcp-Method` or `Mcp-Name` disagrees with the body (MCP 2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The request needs a client capability that was not declared (MCP 2026-07-28).
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    /// The protocol version is not supported (MCP 2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

/// A JSON-RPC error: code, message, data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// One of [`code`], or what an upstream chose.
    pub code: i64,
    /// For the caller.
    pub message: Cow<'static, str>,
    /// Details for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl Fault {
    /// A fault without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same fault with data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

/// The one place where the SDK's errors become JSON-RPC errors.
impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::NotFound => code::INVALID_PARAMS,
            ErrorKind::Unsupported => code::METHOD_NOT_FOUND,
            ErrorKind::TooLarge | ErrorKind::PermissionDenied | ErrorKind::Conflict => code::INVALID_REQUEST,
            _ => code::INTERNAL_ERROR,
        };
        let mut data = json!({ "code": error.kind().as_str() });
        for detail in error.details() {
            match detail {
                mcp_core::error::Detail::Server { name } => data["server"] = json!(name),
                mcp_core::error::Detail::MissingScope { scope } => data["missingScope"] = json!(scope),
                mcp_core::error::Detail::RetryAfter(wait) => data["retryAfter"] = json!(wait.as_secs_f64()),
                _ => {}
            }
        }
        Self { code, message: Cow::Owned(error.message().to_owned()), data: Some(data) }
    }
}

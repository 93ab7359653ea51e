//! The two handshakes, `server/discover` and `initialize`: what is asked and how the answer is read.

use mcp_core::ErrorKind;
use mcp_core::Result;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Reply, ServerInfo, failure::server_error};
use crate::{
    jsonrpc::code,
    protocol::{ProtocolVersion, ServerName},
};

/// The two families of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// With `initialize`: up to 2025-11-25.
    Legacy,
    /// Stateless: from 2026-07-28.
    Modern,
}

/// What a server's answer to `server/discover` says.
pub(crate) enum Discovered {
    Modern(Box<ServerInfo>),
    Legacy,
}

/// Parameters of `server/discover`.
pub(crate) fn discover_params() -> String {
    json!({ "_meta": request_meta() }).to_string()
}

fn request_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": ProtocolVersion::LATEST.as_str(),
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// Parameters of `initialize`.
///
/// The connection serves many callers, so it declares all a caller might be able to do; a caller that cannot
/// refuses when it is asked. Where tenants share it (`shared`) no caller is asked anything.
pub(crate) fn initialize_params(shared: bool) -> String {
    let capabilities =
        if shared { json!({}) } else { json!({ "sampling": {}, "elicitation": {}, "roots": {} }) };
    json!({
        "protocolVersion": ProtocolVersion::LATEST_LEGACY.as_str(),
        "capabilities": capabilities,
        "clientInfo": client_info(),
    })
    .to_string()
}

/// Parameters of a `subscriptions/listen` for every list that the server says can change; `None` where none
/// can. A stateless server tells nobody who has not asked.
pub(crate) fn listen_params(info: &ServerInfo) -> Option<String> {
    let changes = |list: &str| info.capabilities[list]["listChanged"] == Value::Bool(true);
    let lists = [
        ("tools", "toolsListChanged"),
        ("prompts", "promptsListChanged"),
        ("resources", "resourcesListChanged"),
    ];
    let wanted: serde_json::Map<_, _> = lists
        .iter()
        .filter(|(list, _)| changes(list))
        .map(|(_, key)| ((*key).to_owned(), Value::Bool(true)))
        .collect();
    (info.version.is_stateless() && !wanted.is_empty())
        .then(|| json!({ "_meta": request_meta(), "notifications": wanted }).to_string())
}

/// What a connection may use of what the server offers. Where tenants share it (`shared`) that is no
/// subscription: they would be one session's, and what the server tells would be about any of them.
pub(crate) fn usable(mut info: ServerInfo, shared: bool) -> ServerInfo {
    let resources = info.capabilities.get_mut("resources").and_then(Value::as_object_mut);
    if let Some(resources) = resources.filter(|_| shared) {
        resources.remove("subscribe");
    }
    info
}

/// Whether a notification is about a subscription of the connection's own and so nobody else's news.
pub(crate) fn is_about_subscription(method: &str) -> bool {
    method.starts_with("notifications/subscriptions/")
}

/// Reads the answer to `server/discover`. Any error but a modern server's own means a legacy server.
pub(crate) fn read_discover(server: &ServerName, reply: Reply) -> Result<Discovered> {
    match reply {
        Reply::Result(raw) => {
            let Ok(result) = serde_json::from_str::<DiscoverResult>(raw.get()) else {
                return Ok(Discovered::Legacy);
            };
            if !result.supported_versions.iter().any(|version| version == ProtocolVersion::LATEST.as_str()) {
                return Ok(Discovered::Legacy);
            }
            Ok(Discovered::Modern(Box::new(ServerInfo {
                version: ProtocolVersion::LATEST,
                capabilities: result.capabilities,
                instructions: result.instructions,
                raw,
            })))
        }
        Reply::Error(raw) => {
            let fault: FaultCode = serde_json::from_str(raw.get()).unwrap_or_default();
            if matches!(fault.code, code::MISSING_CLIENT_CAPABILITY | code::HEADER_MISMATCH) {
                let why = format!("refused `server/discover`: {}", fault.message);
                return Err(server_error(server, ErrorKind::Upstream, &why));
            }
            Ok(Discovered::Legacy)
        }
    }
}

/// Reads the answer to `initialize`.
pub(crate) fn read_initialize(server: &ServerName, reply: Reply) -> Result<ServerInfo> {
    let refused = |why: String| server_error(server, ErrorKind::Upstream, &why);
    let raw: Box<RawValue> = match reply {
        Reply::Result(raw) => raw,
        Reply::Error(raw) => {
            let fault: FaultCode = serde_json::from_str(raw.get()).unwrap_or_default();
            return Err(refused(format!("refused `initialize`: {} ({})", fault.message, fault.code)));
        }
    };
    let result: InitializeResult = serde_json::from_str(raw.get())
        .map_err(|error| refused("its answer to `initialize` is malformed".to_owned()).with_source(error))?;
    let version = ProtocolVersion::parse(&result.protocol_version)
        .filter(|version| !version.is_stateless())
        .ok_or_else(|| {
            refused(format!("speaks the unknown protocol version {:?}", result.protocol_version))
        })?;
    Ok(ServerInfo { version, capabilities: result.capabilities, instructions: result.instructions, raw })
}

fn client_info() -> Value {
    json!({ "name": "mcp-platform", "version": env!("CARGO_PKG_VERSION") })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoverResult {
    supported_versions: Vec<String>,
    #[serde(default)]
    capabilities: Value,
    instructions: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult {
    protocol_version: String,
    #[serde(default)]
    capabilities: Value,
    instructions: Option<String>,
}

#[derive(Deserialize, Default)]
struct FaultCode {
    code: i64,
    #[serde(default)]
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tenants_share_is_not_subscribed_to() {
        for (capabilities, expected) in [
            (
                json!({"resources": {"subscribe": true, "listChanged": true}}),
                json!({"resources": {"listChanged": true}}),
            ),
            (json!({"tools": {}}), json!({"tools": {}})),
            (Value::Null, Value::Null),
        ] {
            let raw = RawValue::NULL.to_owned();
            let version = ProtocolVersion::LATEST;
            let info = ServerInfo { version, raw, capabilities: capabilities.clone(), instructions: None };
            assert_eq!(usable(info.clone(), true).capabilities, expected);
            assert_eq!(usable(info, false).capabilities, capabilities);
        }
    }
}

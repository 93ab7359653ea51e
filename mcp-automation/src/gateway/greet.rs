//! What the gateway says of itself: `initialize` and `server/discover`, made of what its servers said.

use std::sync::Arc;

use mcp_core::Scope;
use serde_json::{Map, Value, json};

use super::{path::Endpoint, shared::Shared};
use crate::{jsonrpc::Fault, protocol::ProtocolVersion, upstream::Upstream};

/// Capabilities of servers that the gateway passes on; others have methods it does not forward.
const FORWARDED: [&str; 5] = ["tools", "resources", "prompts", "completions", "logging"];

/// Longest `instructions` passed on, all servers together.
const INSTRUCTIONS_LIMIT: usize = 32 * 1024;

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

impl Shared {
    /// The result of `initialize`.
    ///
    /// # Errors
    /// For one server's endpoint: that the server is not available.
    pub(super) async fn initialize(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        version: ProtocolVersion,
    ) -> Result<String, Fault> {
        let said = self.ask_servers(scope, endpoint).await?;
        let mut result = json!({
            "protocolVersion": version.as_str(),
            "capabilities": said.capabilities,
            "serverInfo": said.server_info,
        });
        if let Some(instructions) = said.instructions {
            result["instructions"] = json!(instructions);
        }
        Ok(result.to_string())
    }

    /// The result of `server/discover`.
    ///
    /// # Errors
    /// As [`initialize`](Self::initialize).
    pub(super) async fn discover(&self, scope: &Scope, endpoint: &Endpoint) -> Result<String, Fault> {
        let mut said = self.ask_servers(scope, endpoint).await?;
        // Logging is asked for in each request, and streams tell of resources, not of lists.
        said.capabilities.remove("logging");
        for capability in said.capabilities.values_mut().filter_map(Value::as_object_mut) {
            capability.remove("listChanged");
        }
        let mut result = json!({
            "resultType": "complete",
            "supportedVersions": [ProtocolVersion::LATEST.as_str()],
            "capabilities": said.capabilities,
            "ttlMs": self.ttl_millis(),
            "cacheScope": "private",
            "_meta": { SERVER_INFO: said.server_info },
        });
        if let Some(instructions) = said.instructions {
            result["instructions"] = json!(instructions);
        }
        Ok(result.to_string())
    }

    async fn ask_servers(&self, scope: &Scope, endpoint: &Endpoint) -> Result<Said, Fault> {
        if let Endpoint::Server(server) = endpoint {
            let upstream = self
                .connect(scope, server)
                .await
                .map_err(|error| super::failure::of_server(scope, server, &error))?;
            return Ok(Said {
                server_info: server_info(&upstream).unwrap_or_else(own_info),
                capabilities: forwarded(&upstream.info().capabilities),
                instructions: upstream.info().instructions.clone(),
            });
        }
        let (upstreams, unavailable) = self.connect_all(scope, endpoint).await;
        let mut capabilities = Map::new();
        for upstream in &upstreams {
            merge(&mut capabilities, forwarded(&upstream.info().capabilities));
        }
        if !unavailable.is_empty() {
            // What a server that is not up yet will have is not known; asking for it must not be ruled out.
            for name in ["tools", "resources", "prompts"] {
                capabilities.entry(name).or_insert_with(|| json!({}));
            }
        }
        Ok(Said { server_info: own_info(), capabilities, instructions: joined_instructions(&upstreams) })
    }
}

/// What one server or several said, as one.
struct Said {
    server_info: Value,
    capabilities: Map<String, Value>,
    instructions: Option<String>,
}

fn own_info() -> Value {
    json!({ "name": "mcp-platform", "title": "MCP platform", "version": env!("CARGO_PKG_VERSION") })
}

/// What a server calls itself, from either handshake.
fn server_info(upstream: &Arc<dyn Upstream>) -> Option<Value> {
    let raw: Value = serde_json::from_str(upstream.info().raw.get()).ok()?;
    let info = raw.get("serverInfo").or_else(|| raw.get("_meta")?.get(SERVER_INFO));
    info.filter(|info| info.is_object()).cloned()
}

fn forwarded(capabilities: &Value) -> Map<String, Value> {
    FORWARDED
        .into_iter()
        .filter_map(|name| {
            let capability = capabilities.get(name).filter(|capability| capability.is_object())?;
            Some((name.to_owned(), capability.clone()))
        })
        .collect()
}

/// Adds capabilities: what any server has, the whole has.
fn merge(whole: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            (Some(Value::Bool(known)), Value::Bool(more)) => *known |= more,
            (Some(_), _) => {}
            (None, value) => {
                whole.insert(name, value);
            }
        }
    }
}

fn joined_instructions(upstreams: &[Arc<dyn Upstream>]) -> Option<String> {
    let mut text = String::new();
    for upstream in upstreams {
        let Some(instructions) = &upstream.info().instructions else { continue };
        if text.len() + instructions.len() > INSTRUCTIONS_LIMIT {
            tracing::warn!(server = %upstream.name(), "instructions left out: too long together");
            continue;
        }
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&format!("## {}\n\n{instructions}", upstream.name()));
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_has_what_any_server_has() {
        let mut whole = Map::new();
        for part in [
            json!({"tools": {"listChanged": false}, "tasks": {}, "prompts": true}),
            json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}}),
            json!({"tools": {}}),
        ] {
            merge(&mut whole, forwarded(&part));
        }
        assert_eq!(
            Value::Object(whole),
            json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}})
        );
    }
}

//! A chat that the first provider, which is dead, does not answer, and the second one does.

use http::StatusCode;
use mcp_core::{Error, Result};
use serde_json::json;

use super::scripted::{ECHO, Scripted};
use crate::{
    client::McpClient,
    config::{Config, Deployment, Provider, Route},
};

/// The providers of the demo: one where nobody listens, and a scripted one in this process.
pub(super) struct Models {
    dead: String,
    live: Scripted,
}

impl Models {
    pub(super) async fn start() -> Result<Self> {
        let unusable = |error: std::io::Error| Error::unavailable("demo.models", error.to_string());
        // A port that was free a moment ago, and is so again.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(unusable)?
            .port();
        let live = Scripted::start().await.map_err(unusable)?;
        Ok(Self { dead: format!("http://127.0.0.1:{port}/v1"), live })
    }

    /// Adds the providers, and the route `assistant` to them.
    pub(super) fn configure(&self, config: &mut Config) {
        let provider = |name: &str, base_url: String| Provider {
            name: name.to_owned(),
            base_url,
            ..Provider::default()
        };
        config.providers =
            vec![provider("dead", self.dead.clone()), provider("scripted", self.live.base_url())];
        let chain = ["dead", "scripted"]
            .map(|provider| Deployment { provider: provider.to_owned(), model: ECHO.to_owned() });
        config.routes = vec![Route { model: "assistant".to_owned(), chain: chain.into() }];
    }
}

/// Chats as the client's tenant.
pub(super) async fn past_a_dead_provider(client: &McpClient) -> Result<((), String)> {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let chat = json!({ "model": "assistant", "messages": messages });
    let answer = client.post("/v1/chat/completions", &chat).await?;
    let text = answer.body["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    let by = answer.headers.get("x-mcp-deployment").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if answer.status != StatusCode::OK || by != "scripted/echo" || !text.contains("hello") {
        return Err(Error::internal("demo.expect", format!("{answer:?}")));
    }
    Ok(((), format!("dead/echo cannot be reached, {by} answered {text:?}")))
}

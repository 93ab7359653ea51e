//! The router over the providers of chat models, as the configuration says.

use std::{sync::Arc, time::Duration};

use mcp_core::{Error, Result, clock::SystemClock, key::Secret};
use mcp_inference::{
    chat::{
        ChatProvider,
        openai::{OpenAiConfig, OpenAiProvider},
    },
    router::{Deployment, Route, Router, RouterConfig},
};

use crate::config::{self, Config};

/// Reads the keys and makes the router; nobody is asked yet.
///
/// # Errors
/// `InvalidInput` that names the provider or route.
pub(super) async fn router(config: &Config) -> Result<Router> {
    let clock = Arc::new(SystemClock);
    let mut providers: Vec<Arc<dyn ChatProvider>> = Vec::with_capacity(config.providers.len());
    for provider in &config.providers {
        providers.push(Arc::new(OpenAiProvider::new(provider_config(provider).await?, clock.clone())?));
    }
    let routes = config.routes.iter().map(route).collect();
    Router::new(RouterConfig { routes, ..RouterConfig::default() }, providers, clock)
}

async fn provider_config(provider: &config::Provider) -> Result<OpenAiConfig> {
    Ok(OpenAiConfig {
        api_key: api_key(provider).await?,
        connect: Duration::from_secs(provider.connect_timeout_seconds),
        first_byte: Duration::from_secs(provider.first_byte_timeout_seconds),
        idle: Duration::from_secs(provider.idle_timeout_seconds),
        total: Duration::from_secs(provider.total_timeout_seconds),
        stream_usage: provider.stream_usage,
        ..OpenAiConfig::new(&provider.name, &provider.base_url)?
    })
}

async fn api_key(provider: &config::Provider) -> Result<Option<Secret<String>>> {
    let refuse =
        |why: String| Error::invalid_input("config.load", format!("the provider `{}`: {why}", provider.name));
    if let Some(variable) = provider.key_variable()? {
        let key = config::environment().remove(variable).filter(|key| !key.is_empty());
        let missing = || refuse(format!("the environment has no {variable}, which api_key names"));
        return key.map(Secret::new).ok_or_else(missing).map(Some);
    }
    let file = &provider.api_key_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| refuse(format!("cannot read api_key_file {}: {error}", file.display())))?;
    match text.trim() {
        "" => Err(refuse(format!("api_key_file {} is empty", file.display()))),
        key => Ok(Some(Secret::new(key.to_owned()))),
    }
}

fn route(route: &config::Route) -> Route {
    let deployment = |at: &config::Deployment| Deployment::new(at.provider.as_str(), at.model.as_str());
    Route { model: route.model.clone(), chain: route.chain.iter().map(deployment).collect() }
}

//! Providers of chat models, and the routes to them.

use std::path::PathBuf;

use mcp_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A server that speaks OpenAI's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    pub base_url: String,
    pub api_key: String,
    pub api_key_file: PathBuf,
    pub connect_timeout_seconds: u64,
    pub first_byte_timeout_seconds: u64,
    pub idle_timeout_seconds: u64,
    pub total_timeout_seconds: u64,
    pub stream_usage: bool,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            name: String::new(),
            base_url: String::new(),
            api_key: String::new(),
            api_key_file: PathBuf::new(),
            connect_timeout_seconds: 5,
            first_byte_timeout_seconds: 60,
            idle_timeout_seconds: 30,
            total_timeout_seconds: 600,
            stream_usage: true,
        }
    }
}

impl Provider {
    /// The environment variable that holds the key, if one is named.
    ///
    /// # Errors
    /// `InvalidInput` for a key that stands in the file itself, or two places to look for it.
    pub(crate) fn key_variable(&self) -> Result<Option<&str>> {
        let refuse = |why: &str| {
            Err(Error::invalid_input("config.load", format!("the provider `{}`: {why}", self.name)))
        };
        if self.api_key.is_empty() {
            return Ok(None);
        }
        if !self.api_key_file.as_os_str().is_empty() {
            return refuse("set api_key or api_key_file, not both");
        }
        let variable = self.api_key.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match variable.filter(|name| !name.is_empty() && !name.contains(['$', '{', '}'])) {
            Some(name) => Ok(Some(name)),
            None => refuse("api_key must be ${VARIABLE}: a key does not belong into the configuration"),
        }
    }
}

/// What callers may name as `model`, and who answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    pub model: String,
    pub chain: Vec<Deployment>,
}

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    pub provider: String,
    pub model: String,
}

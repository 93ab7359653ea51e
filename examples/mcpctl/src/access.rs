//! Where the platform is, and with which key it is asked.

use std::path::Path;

use mcp_core::key::Secret;
use url::Url;

use crate::{
    cli::Connection,
    failure::{Failure, Result},
};

const KEY: &str = "MCPCTL_KEY";
const KEY_FILE: &str = "MCPCTL_KEY_FILE";
/// A longer file is no key.
const MAX_KEY: u64 = 64 * 1024;

/// Where, and as whom.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) url: Url,
    /// None where the client's certificate says it.
    pub(crate) key: Option<Secret<String>>,
}

impl Access {
    /// What the command line says, then the environment.
    pub(crate) fn of(connection: &Connection) -> Result<Self> {
        let key = match (&connection.key, &connection.key_file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => Some(read(file)?),
            (None, None) => from_environment()?,
        };
        let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        if key.is_none() && connection.client_cert.is_none() {
            return Err(Failure::Usage(format!(
                "no key: set {KEY}, or {KEY_FILE} or --key-file to a file with it; \
                 `mcp-platform operator-key create` makes one for an operator"
            )));
        }
        Ok(Self { url: base(&connection.url)?, key: key.map(Secret::new) })
    }

    /// Whether the key is an operator's.
    pub(crate) fn is_operator(&self) -> bool {
        self.begins_with("mcpo_")
    }

    /// Whether it is a refresh token, which is only there to be redeemed or ended.
    pub(crate) fn is_refresh_token(&self) -> bool {
        self.begins_with("mcpr_")
    }

    fn begins_with(&self, prefix: &str) -> bool {
        self.key.as_ref().is_some_and(|key| key.expose().starts_with(prefix))
    }
}

fn from_environment() -> Result<Option<String>> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match variable(KEY) {
        Some(key) => Ok(Some(key)),
        None => variable(KEY_FILE).map(|file| read(Path::new(&file))).transpose(),
    }
}

fn read(file: &Path) -> Result<String> {
    let refused = |why: String| Failure::Usage(format!("cannot read the key in {}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| refused(error.to_string()))?.len();
    if size > MAX_KEY {
        return Err(refused("the file is too long to be a key".to_owned()));
    }
    std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))
}

/// The URL that paths of the API are put behind; that of the MCP endpoint is understood too.
fn base(text: &str) -> Result<Url> {
    let refused = |why: &str| Failure::Usage(format!("--url {text:?} {why}"));
    let mut url = Url::parse(text).map_err(|_| refused("is no URL, as in https://mcp.example.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refused("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must not hold credentials"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(path.strip_suffix("/mcp").unwrap_or(&path));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_with_and_without_the_endpoint() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080/"),
            ("https://mcp.example.com/behind/a/proxy/", "https://mcp.example.com/behind/a/proxy"),
        ] {
            assert_eq!(base(text).unwrap().as_str(), expected);
        }
        for text in ["", "localhost:8080", "ftp://x", "http://", "https://user:pass@host/"] {
            assert!(base(text).is_err(), "{text:?}");
        }
    }
}

//! What a provider is configured with.

use std::time::Duration;

use mcp_core::{Error, Result, key::Secret};
use url::Url;

/// An account at an OpenAI-compatible server. `Debug` shows no key.
///
/// Addresses come from operators only: a loopback or private one is as good as any other.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// The name by which routes refer to it: 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Where the API begins, `https://api.openai.com/v1`.
    pub base_url: Url,
    /// Sent as a bearer token; `None` for servers that ask for none.
    pub api_key: Option<Secret<String>>,
    /// Longest time for a TCP connection. Default 5 s.
    pub connect: Duration,
    /// Longest time until an answer begins. Default 60 s.
    pub first_byte: Duration,
    /// Longest time without a byte in an answer that has begun. Default 30 s.
    pub idle: Duration,
    /// Longest time for a whole answer, streams included. Default 600 s.
    pub total: Duration,
    /// Largest answer in bytes, streams included. Default 32 MiB.
    pub max_answer: usize,
    /// Largest event of a stream in bytes. Default 1 MiB.
    pub max_event: usize,
    /// Whether streams are asked to end with what they used, for the count of tokens. Default true; a few old
    /// servers refuse `stream_options`.
    pub stream_usage: bool,
}

impl OpenAiConfig {
    /// The provider `name` at `base_url`, without a key and with the default limits.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for what is no name or no such address: it must be
    /// `http` or `https`, without user, query or fragment.
    pub fn new(name: &str, base_url: &str) -> Result<Self> {
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fit) {
            return Err(refuse(format!(
                "{name:?} is no provider's name: use 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`"
            )));
        }
        let bad = |why: &str| refuse(format!("the provider `{name}`: base_url {why}"));
        let url = Url::parse(base_url).map_err(|error| bad(&format!("is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("must begin with http:// or https:// and a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("must not hold a user or password: use api_key"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("must have neither a query nor a fragment"));
        }
        Ok(Self {
            name: name.to_owned(),
            base_url: url,
            api_key: None,
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(600),
            max_answer: 32 << 20,
            max_event: 1 << 20,
            stream_usage: true,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        let none = [self.connect, self.first_byte, self.idle, self.total].iter().any(Duration::is_zero);
        if none || self.max_answer == 0 || self.max_event == 0 {
            let name = &self.name;
            return Err(refuse(format!("the provider `{name}`: a limit of 0 would refuse everything")));
        }
        Ok(())
    }

    /// Where chats are asked for.
    pub(super) fn chat_completions(&self) -> Result<http::Uri> {
        let base = self.base_url.as_str().trim_end_matches('/');
        format!("{base}/chat/completions").parse().map_err(|error: http::uri::InvalidUri| {
            refuse(format!("the provider `{}`: base_url is no address: {error}", self.name))
        })
    }

    /// The address, and a digest that tells one key from another without telling the key.
    pub(super) fn account(&self) -> String {
        let key = self.api_key.as_ref().map_or(&b""[..], |key| key.expose().as_bytes());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
        let digest: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}#{digest}", self.base_url.origin().ascii_serialization())
    }
}

fn refuse(why: String) -> Error {
    Error::invalid_input("chat.provider", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_checked() {
        for (name, url, wanted) in [
            ("", "http://a/v1", "no provider's name"),
            ("a b", "http://a/v1", "no provider's name"),
            ("a", "a/v1", "no URL"),
            ("a", "ftp://a/v1", "http:// or https://"),
            ("a", "http://u:p@a/v1", "use api_key"),
            ("a", "http://a/v1?key=1", "neither a query"),
        ] {
            let error = OpenAiConfig::new(name, url).unwrap_err();
            assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
            assert!(!error.message().contains(":p@"), "{error}");
        }
        for url in ["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/"] {
            let config = OpenAiConfig::new("near", url).unwrap();
            assert_eq!(config.chat_completions().unwrap(), "http://127.0.0.1:1/v1/chat/completions");
        }
    }

    #[test]
    fn an_account_is_an_address_and_a_key() {
        let account = |url: &str, key: Option<&str>| {
            let mut config = OpenAiConfig::new("a", url).unwrap();
            config.api_key = key.map(|key| Secret::new(key.to_owned()));
            (config.account(), format!("{config:?}"))
        };
        let (one, shown) = account("https://api.example/v1", Some("sk-1"));
        assert_eq!(one, account("https://api.example/other", Some("sk-1")).0);
        assert_ne!(one, account("https://api.example/v1", Some("sk-2")).0);
        assert!(!format!("{one}{shown}").contains("sk-1"));
    }
}

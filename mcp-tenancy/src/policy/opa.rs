//! Policies at an Open Policy Agent, asked over HTTP.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use mcp_core::{
    Error, ErrorKind, Result,
    clock::{Clock, Timestamp},
    key::Secret,
    net::{Addresses, HttpClient, HttpConfig},
    scope::TenantId,
};
use moka::future::Cache;
use serde_json::{Value, json};

use super::{Bounded, Decision, Policy, input::input, language::bad};

/// What stands for the tenant in a [`DataPath`].
const TENANT: &str = "{tenant}";

/// Where an OPA answers, and how long it may take.
#[derive(Clone)]
pub struct OpaConfig {
    /// Its address, as an operator wrote it: `http://opa:8181`.
    pub url: String,
    /// The document that decides: `mcp/authz`, or `tenants/{tenant}/authz` for one a tenant.
    pub path: DataPath,
    /// Which revision of the policies it has: part of the key of every remembered decision, so that a new
    /// revision, in a new configuration, begins with none. Default empty.
    pub revision: String,
    /// How long a decision is remembered, and by how much a change of policy may be late: default 5 s, zero
    /// for not at all.
    pub remember_for: Duration,
    /// Decisions remembered: default 10,000.
    pub remembered: u64,
    /// What it asks of its callers, if anything.
    pub bearer: Option<Secret<String>>,
    /// The bounds of an exchange. Default 1 s, and 64 KiB for an answer.
    pub http: HttpConfig,
}

impl OpaConfig {
    /// The defaults, for an OPA at `url` whose document at `path` decides.
    #[must_use]
    pub fn new(url: impl Into<String>, path: DataPath) -> Self {
        let http = HttpConfig {
            addresses: Addresses::Any,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            body_limit: 64 * 1024,
            ..HttpConfig::default()
        };
        Self {
            url: url.into(),
            path,
            revision: String::new(),
            remember_for: Duration::from_secs(5),
            remembered: 10_000,
            bearer: None,
            http,
        }
    }
}

impl fmt::Debug for OpaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaConfig")
            .field("path", &self.path)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// The path of a document in OPA's data: names of `[A-Za-z0-9_-]` and `{tenant}`, separated by `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPath(Vec<String>);

impl DataPath {
    /// Parses a path.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let ok = |part: &str| part == TENANT || (!part.is_empty() && part.bytes().all(plain));
        let parts: Vec<_> = text.split('/').map(str::to_owned).collect();
        if parts.len() > 16 || !parts.iter().all(|part| ok(part)) {
            let rule = "an OPA path has 1 to 16 names of letters, digits, `_` and `-`, or `{tenant}`, as in \
                        `tenants/{tenant}/authz`";
            return Err(bad("path", rule));
        }
        Ok(Self(parts))
    }

    /// The path for a tenant, below `/v1/data/`. Whatever `tenant` is, the path has as many parts as were
    /// written, and the others are what was written: it is escaped, though ids of tenants need it never.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a text that no escaping makes one part of a path.
    pub fn of(&self, tenant: &str) -> Result<String> {
        let mut path = String::from("/v1/data");
        for part in &self.0 {
            path.push('/');
            match part.as_str() {
                TENANT => escape(tenant, &mut path)?,
                name => path.push_str(name),
            }
        }
        Ok(path)
    }
}

fn escape(text: &str, path: &mut String) -> Result<()> {
    use fmt::Write as _;
    // Proxies and servers resolve dots, escaped ones too.
    if text.is_empty() || text.bytes().all(|byte| byte == b'.') {
        return Err(bad("path", "this is no name for a part of a path"));
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    Ok(())
}

/// Asks an OPA: `POST /v1/data/{path}` with the request as `input`.
///
/// The answer is a boolean, or an object with `allow` and `deny`, which mean what they do in
/// `RegoPolicy`; what is undefined is not allowed. If the OPA does not answer in time, or with
/// anything else, the request is refused and nothing is remembered; decisions that are remembered hold for
/// their time.
pub struct OpaPolicy {
    client: HttpClient,
    clock: Arc<dyn Clock>,
    config: OpaConfig,
    remembered: Cache<Key, (Timestamp, Decision)>,
}

/// Tenant, revision and digest of the whole request: what a decision depends on.
type Key = (TenantId, String, [u8; 32]);

impl OpaPolicy {
    /// A client of the OPA at `config.url`. No connection is made yet.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a malformed address; as [`HttpClient::new`].
    pub fn new(config: OpaConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let url: Uri = config.url.parse().map_err(|_| not_an_address())?;
        let web = matches!(url.scheme_str(), Some("http" | "https"));
        if !web || url.authority().is_none() || url.query().is_some() {
            return Err(not_an_address());
        }
        let client = HttpClient::new(config.http.clone())?;
        let remembered = Cache::builder().max_capacity(config.remembered).build();
        Ok(Self { client, clock, config, remembered })
    }

    async fn ask(&self, tenant: &TenantId, body: Vec<u8>) -> Result<Decision> {
        let path = self.config.path.of(tenant.as_str())?;
        let uri = format!("{}{path}", self.config.url.trim_end_matches('/'));
        let mut request = Request::post(uri).header(header::CONTENT_TYPE, "application/json");
        if let Some(bearer) = &self.config.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", bearer.expose()));
        }
        let request =
            request.body(Bytes::from(body)).map_err(|error| away("is misconfigured").with_source(error))?;
        let response =
            self.client.send(request).await.map_err(|error| away("does not answer").with_source(error))?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(away("answers with an error").with_context("status", status));
        }
        let answer: Value = serde_json::from_slice(response.body())
            .map_err(|error| away("does not answer with JSON").with_source(error))?;
        read(&answer).ok_or_else(|| away("does not answer with a decision"))
    }
}

#[async_trait]
impl Policy for OpaPolicy {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        let scope = asked.scope();
        let body = serde_json::to_vec(&json!({ "input": input(asked.request()) }))
            .map_err(|error| Error::internal("policy.opa", "the request is not JSON").with_source(error))?;
        let mut digested = [0; 32];
        digested.copy_from_slice(digest::digest(&digest::SHA256, &body).as_ref());
        let key = (scope.tenant().clone(), self.config.revision.clone(), digested);
        let now = self.clock.now();
        if let Some((at, decision)) = self.remembered.get(&key).await
            && now.since(at) < self.config.remember_for
        {
            return Ok(decision);
        }
        let patience = scope.remaining(self.config.http.timeout);
        let decision = tokio::time::timeout(patience, self.ask(scope.tenant(), body))
            .await
            .map_err(|_| away("does not answer in time"))??;
        if !self.config.remember_for.is_zero() {
            self.remembered.insert(key, (now, decision.clone())).await;
        }
        Ok(decision)
    }
}

impl fmt::Debug for OpaPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaPolicy").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What an answer decides; `None` if it is no decision.
fn read(answer: &Value) -> Option<Decision> {
    let allowed = |value: Option<&Value>| match value {
        Some(Value::Bool(true)) => Decision::allow(["opa"]),
        _ => Decision::deny::<String>([]),
    };
    match answer.as_object()?.get("result") {
        None => Some(Decision::deny::<String>([])),
        result @ Some(Value::Bool(_)) => Some(allowed(result)),
        Some(Value::Object(result)) => {
            Some(result.get("deny").and_then(denials).unwrap_or_else(|| allowed(result.get("allow"))))
        }
        Some(_) => None,
    }
}

fn denials(value: &Value) -> Option<Decision> {
    let named = |value: &Value| value.as_str().unwrap_or("opa").to_owned();
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Array(values) => (!values.is_empty()).then(|| Decision::deny(values.iter().map(named))),
        // A set of messages may come as an object of them.
        Value::Object(values) => (!values.is_empty()).then(|| Decision::deny(values.values().map(named))),
        other => Some(Decision::deny([named(other)])),
    }
}

fn away(what: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, "policy.opa", format!("the policy server {what}; try again"))
}

fn not_an_address() -> Error {
    bad("url", "the address of an OPA is a URL without a query, as in `http://opa:8181`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_none_are_found_out() {
        let decided = |text: &str| read(&serde_json::from_str(text).unwrap());
        let nothing = Some(Decision::deny::<String>([]));
        assert_eq!(decided(r#"{"result": true}"#), Some(Decision::allow(["opa"])));
        assert_eq!(decided(r#"{"result": {"allow": true, "deny": []}}"#), Some(Decision::allow(["opa"])));
        for undecided in
            ["{}", r#"{"result": false}"#, r#"{"result": {}}"#, r#"{"result": {"allow": "true"}}"#]
        {
            assert_eq!(decided(undecided), nothing, "{undecided}");
        }
        let denied = decided(r#"{"result": {"allow": true, "deny": ["locked"]}}"#);
        assert_eq!(denied, Some(Decision::deny(["locked"])));
        assert_eq!(decided(r#"{"result": {"allow": true, "deny": true}}"#), Some(Decision::deny(["opa"])));
        for garbage in
            ["[]", "true", "null", r#"{"result": 1}"#, r#"{"result": "true"}"#, r#"{"result": null}"#]
        {
            assert_eq!(decided(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn paths_are_names() {
        assert_eq!(DataPath::parse("mcp/authz").unwrap().of("acme").unwrap(), "/v1/data/mcp/authz");
        let path = DataPath::parse("tenants/{tenant}/authz").unwrap();
        assert_eq!(path.of("acme-1").unwrap(), "/v1/data/tenants/acme-1/authz");
        for bad in ["", "/", "a//b", "../a", "a/..", "a%2fb", "a?b", "{tenant}x", "a b", "ä"] {
            assert!(DataPath::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}

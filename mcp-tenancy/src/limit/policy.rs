//! Which limits a request has, beside the one of its tenant.

use std::{collections::BTreeMap, num::NonZeroU32};

use http::Method;
use mcp_core::{Error, Result, Scope, limit::Limit};
use serde::{Deserialize, Serialize};

use crate::auth::Identity;

/// Most routes, and most tools, with a limit of their own.
const MAX_ENTRIES: usize = 256;

/// The limits of every tenant's requests, beside its own `requests_per_minute`. By default there are none.
///
/// ```
/// use mcp_tenancy::limit::LimitPolicy;
///
/// let policy: LimitPolicy = serde_json::from_str(r#"{
///     "principal_per_minute": 120,
///     "routes": [{ "path": "/v1/chat", "per_minute": 30 }],
///     "tools": { "search__web": 10 }
/// }"#)?;
/// policy.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitPolicy {
    /// Requests a minute of each principal, over all its credentials. Default no limit.
    pub principal_per_minute: Option<NonZeroU32>,
    /// Requests a minute of each API key. Default no limit.
    pub key_per_minute: Option<NonZeroU32>,
    /// Requests a minute of each tenant to some routes. Where several match, that with the longest path
    /// counts; of two equally long, the first. Default none, at most 256.
    pub routes: Vec<RouteLimit>,
    /// Calls a minute of each tenant of each tool that has no entry in `tools`. Default no limit.
    pub tool_per_minute: Option<NonZeroU32>,
    /// Calls a minute of each tenant of these tools, by their names at the gateway. Default none, at most
    /// 256.
    pub tools: BTreeMap<String, NonZeroU32>,
}

/// A limit of the requests to one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteLimit {
    /// The path and all below it: `/v1/chat` matches itself and `/v1/chat/completions`, not `/v1/chats`.
    pub path: String,
    /// Only requests of this method. Default every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Requests a minute of each tenant.
    pub per_minute: NonZeroU32,
}

impl LimitPolicy {
    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::invalid_input("limit.policy", message));
        for (name, count) in [("routes", self.routes.len()), ("tools", self.tools.len())] {
            if count > MAX_ENTRIES {
                return refuse(format!("`{name}` may have at most {MAX_ENTRIES} entries"));
            }
        }
        for (n, route) in self.routes.iter().enumerate() {
            if !route.is_well_formed() {
                return refuse(format!(
                    "`routes[{n}]` must have a path of 1 to 128 printable characters that begins with `/`, \
                     and a method in upper case if any"
                ));
            }
        }
        match self.tools.keys().find(|name| name.is_empty() || name.len() > Limit::MAX_KEY - "tool/".len()) {
            None => Ok(()),
            Some(_) => refuse("the names in `tools` must have 1 to 251 bytes".to_owned()),
        }
    }

    /// The limits of one call of a tool, for whoever calls it. `name` is that of a tool there is.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<Limit> {
        let count = self.tools.get(name).copied().or(self.tool_per_minute)?;
        Some(Limit::tool(name, count))
    }

    /// The limits of one request, its tenant's first, each with the words for its refusal.
    pub(crate) fn of(
        &self,
        tenant: NonZeroU32,
        scope: &Scope,
        identity: Option<&Identity>,
        (method, path): (&Method, &str),
    ) -> (Vec<Limit>, Vec<&'static str>) {
        let mut all = vec![(Limit::tenant(tenant), "over requests_per_minute")];
        if let Some(count) = self.principal_per_minute {
            all.push((Limit::principal(&scope.principal().id, count), "over the principal's requests"));
        }
        let key = identity.map(|identity| &*identity.credential).filter(|name| name.starts_with("key/"));
        if let (Some(count), Some(key)) = (self.key_per_minute, key) {
            all.push((Limit::per_minute(key.to_owned().into(), count), "over the key's requests"));
        }
        if let Some(route) = self.route(method, path) {
            all.push((Limit::per_minute(route.key().into(), route.per_minute), "over the route's requests"));
        }
        all.into_iter().unzip()
    }

    fn route(&self, method: &Method, path: &str) -> Option<&RouteLimit> {
        let matching = self.routes.iter().filter(|route| route.matches(method, path));
        matching.reduce(|best, next| if next.path.len() > best.path.len() { next } else { best })
    }
}

impl RouteLimit {
    fn is_well_formed(&self) -> bool {
        let method = |name: &String| {
            !name.is_empty() && name.len() <= 16 && name.bytes().all(|b| b.is_ascii_uppercase())
        };
        self.path.starts_with('/')
            && self.path.len() <= 128
            && self.path.bytes().all(|b| b.is_ascii_graphic())
            && self.method.as_ref().is_none_or(method)
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.as_str());
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/');
        rest.is_some_and(below) && self.method.as_ref().is_none_or(|name| name == method.as_str())
    }

    fn key(&self) -> String {
        format!("route/{} {}", self.method.as_deref().unwrap_or("*"), self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mcp_core::scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId};

    use super::*;

    fn n(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    fn route(path: &str, method: Option<&str>, count: u32) -> RouteLimit {
        RouteLimit { path: path.to_owned(), method: method.map(str::to_owned), per_minute: n(count) }
    }

    fn keys(policy: &LimitPolicy, credential: &str, method: Method, path: &str) -> Vec<String> {
        let principal = Arc::new(Principal {
            id: PrincipalId::parse("user-1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        });
        let scope = Scope::new(TenantId::parse("acme").unwrap(), principal.clone());
        let identity = Identity {
            tenant: scope.tenant().clone(),
            principal,
            credential: credential.into(),
            expires_at: None,
        };
        let (limits, words) = policy.of(n(600), &scope, Some(&identity), (&method, path));
        assert_eq!(limits.len(), words.len());
        Limit::check(&limits).unwrap();
        limits.into_iter().map(|limit| format!("{}={}", limit.key, limit.count)).collect()
    }

    #[test]
    fn a_request_has_the_limits_that_apply_to_it() {
        let policy = LimitPolicy {
            principal_per_minute: Some(n(5)),
            key_per_minute: Some(n(4)),
            routes: vec![route("/v1", None, 3), route("/v1/chat", Some("POST"), 2)],
            ..LimitPolicy::default()
        };
        policy.validate().unwrap();
        assert_eq!(
            keys(&policy, "key/0a1b", Method::POST, "/v1/chat/completions"),
            ["tenant=600", "principal/user-1=5", "key/0a1b=4", "route/POST /v1/chat=2"]
        );
        // A token's id is new with each token: a limit over it would limit nothing.
        assert_eq!(
            keys(&policy, "token/abc", Method::GET, "/v1/chat"),
            ["tenant=600", "principal/user-1=5", "route/* /v1=3"]
        );
        assert_eq!(keys(&policy, "token/abc", Method::GET, "/v10"), ["tenant=600", "principal/user-1=5"]);
        assert_eq!(keys(&LimitPolicy::default(), "key/0a1b", Method::GET, "/v1"), ["tenant=600"]);
    }

    #[test]
    fn a_tool_has_its_own_limit_or_that_of_all() {
        let mut policy = LimitPolicy::default();
        assert_eq!(policy.tool("everything__echo"), None);
        policy.tools.insert("everything__echo".to_owned(), n(7));
        policy.tool_per_minute = Some(n(9));
        assert_eq!(policy.tool("everything__echo"), Some(Limit::tool("everything__echo", n(7))));
        assert_eq!(policy.tool("everything__add"), Some(Limit::tool("everything__add", n(9))));
    }

    #[test]
    fn what_limits_nothing_or_everything_is_refused() {
        for bad in [
            route("", None, 1),
            route("v1", None, 1),
            route("/a b", None, 1),
            route(&format!("/{}", "x".repeat(128)), None, 1),
            route("/v1", Some("post"), 1),
            route("/v1", Some(""), 1),
        ] {
            let policy = LimitPolicy { routes: vec![bad.clone()], ..LimitPolicy::default() };
            assert!(policy.validate().is_err(), "{bad:?}");
        }
        let many = LimitPolicy { routes: vec![route("/v1", None, 1); 257], ..LimitPolicy::default() };
        assert!(many.validate().is_err());
        let mut long = LimitPolicy::default();
        long.tools.insert("x".repeat(252), n(1));
        assert!(long.validate().is_err());
        for text in [r#"{"principal_per_minute": 0}"#, r#"{"principals_per_minute": 1}"#] {
            assert!(serde_json::from_str::<LimitPolicy>(text).is_err(), "{text}");
        }
    }
}

//! What a request is for, as far as its head tells: what policies of tenants are asked about it.
//!
//! It is the permission that the route's handler requires, so that without a policy permissions decide as they
//! always did. What only the body tells, the MCP endpoint asks itself.

use http::{Method, request::Parts};
use mcp_core::{
    Error, Result, Scope,
    access::{Access, Action, Resource},
};

/// What all of a kind is called.
const ALL: &str = "*";

/// An action, and the kind and id of what it is for.
type Asked<'a> = (&'static str, &'static str, &'a str);

/// What `request` is for; `None` for what is asked about further in, takes no permission, or is not there.
///
/// # Errors
/// `InvalidInput` for a path that is no text, or names something longer than anything is.
pub(crate) fn access_of(scope: &Scope, request: &Parts) -> Result<Option<Access>> {
    let (method, path) = (&request.method, request.uri.path());
    let Some((action, kind, id)) = asked(method, path) else { return Ok(None) };
    let resource = Resource::of(scope, kind, decoded(id)?)?;
    let access = Access::new(Action::named(action)?, resource);
    Ok(Some(access.with("method", method.as_str()).with("path", path)))
}

fn asked<'a>(method: &Method, path: &'a str) -> Option<Asked<'a>> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    let either = |read: &'static str, write: &'static str| if reads { read } else { write };
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    Some(match segments.as_slice() {
        ["api", "v1", "contexts"] => (either("contexts:read", "contexts:write"), "context", ALL),
        ["api", "v1", "contexts", id, ..] => (either("contexts:read", "contexts:write"), "context", id),
        ["api", "v1", "memories", "recall"] => ("memories:read", "memory", ALL),
        ["api", "v1", "memories"] => ("memories:write", "memory", ALL),
        ["api", "v1", "memories", id] => ("memories:write", "memory", id),
        ["api", "v1", "keys"] => (either("keys:read", "keys:write"), "key", ALL),
        ["api", "v1", "keys", id, ..] => (either("keys:read", "keys:write"), "key", id),
        ["api", "v1", "roles"] => (either("roles:read", "roles:write"), "role", ALL),
        ["api", "v1", "roles", id, ..] => (either("roles:read", "roles:write"), "role", id),
        ["api", "v1", "principals", _, "roles"] => (either("roles:read", "roles:write"), "role", ALL),
        ["api", "v1", "principals", _, "roles", id] => (either("roles:read", "roles:write"), "role", id),
        ["api", "v1", "principals", _, "credentials"] => ("credentials:end", "endpoint", path),
        ["api", "v1", "issuers", ..] => (either("issuers:read", "issuers:write"), "endpoint", path),
        ["api", "v1", "signing-keys", ..] => {
            (either("signing_keys:read", "signing_keys:write"), "endpoint", path)
        }
        ["api", "v1", "tokens", ..] => ("tokens:revoke", "endpoint", path),
        ["api", "v1", "certificates", ..] => ("certificates:read", "endpoint", path),
        ["api", "v1", "servers"] => ("servers:read", "server", ALL),
        ["api", "v1", "audit", ..] => ("audit:read", "audit_log", ALL),
        ["api", "v1", "events"] => ("events:read", "endpoint", path),
        ["api", "v1", "quotas"] => ("quotas:read", "endpoint", path),
        ["api", "v1", "tenants", _] => ("tenant:read", "endpoint", path),
        ["v1", "chat", "completions"] | ["v1", "embeddings" | "models"] => ("models:use", "model", ALL),
        ["v2"] | ["v2", "health", "ready"] => ("models:use", "model", ALL),
        ["v1", "models", id] | ["v2", "models", id, ..] => ("models:use", "model", id),
        // Policies themselves are not asked about: one that denies everything must be replaceable.
        _ => return None,
    })
}

/// A segment as the handler gets it: what is escaped must not look like something else here.
fn decoded(segment: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let escaped =
            escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid_input("access.path", "a segment of the path is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use mcp_core::scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId};

    use super::*;
    use crate::api::openapi;

    fn scope() -> Scope {
        let principal = Principal {
            id: PrincipalId::parse("u1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        };
        Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
    }

    fn of(method: &str, path: &str) -> Option<Access> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        access_of(&scope(), &request.into_parts().0).unwrap()
    }

    #[test]
    fn a_request_is_for_what_its_handler_requires() {
        for (method, path, action, resource) in [
            ("GET", "/api/v1/contexts?x=1", "contexts:read", "context/*"),
            ("POST", "/api/v1/contexts/c-1/messages", "contexts:write", "context/c-1"),
            ("POST", "/api/v1/memories/recall", "memories:read", "memory/*"),
            ("DELETE", "/api/v1/memories/m-1", "memories:write", "memory/m-1"),
            ("GET", "/api/v1/audit/export", "audit:read", "audit_log/*"),
            ("PUT", "/api/v1/principals/ann/roles/admin", "roles:write", "role/admin"),
            ("POST", "/v1/chat/completions", "models:use", "model/*"),
            ("GET", "/v2/models/org%2Fmini%6Cm/ready", "models:use", "model/org/minilm"),
        ] {
            let access = of(method, path).unwrap();
            let asked = format!("{}/{}", access.resource.kind.as_str(), access.resource.id);
            assert_eq!((access.action.as_str(), asked.as_str()), (action, resource), "{method} {path}");
        }
        for path in
            ["/mcp", "/mcp/time", "/api/v1/policies/3", "/v2/health/live", "/nowhere", "/v1/nowhere", "/"]
        {
            assert_eq!(of("POST", path), None, "{path}");
        }
    }

    #[test]
    fn an_escape_hides_nothing_and_what_is_no_text_is_refused() {
        assert_eq!(decoded("a%2fb%%zz%4").unwrap(), "a/b%%zz%4");
        let request = Request::builder().uri("/api/v1/keys/%ff").body(()).unwrap();
        assert!(access_of(&scope(), &request.into_parts().0).is_err());
    }

    #[test]
    fn every_route_of_tenants_says_what_it_is_for() {
        let document = openapi::document();
        let mut unsaid = Vec::new();
        for (path, item) in &document.paths.paths {
            // Of operators, of those without credentials, and what is asked about further in.
            let elsewhere = ["/api/v1/operator", "/api/v1/openapi.json", "/api/v1/policies"];
            let public = |operation: &utoipa::openapi::path::Operation| {
                operation.security.as_ref().is_some_and(|security| {
                    security.iter().any(|way| serde_json::to_value(way).unwrap() == serde_json::json!({}))
                })
            };
            let operations = [&item.get, &item.put, &item.post, &item.delete, &item.patch];
            let all_public = operations.into_iter().flatten().all(public);
            if !all_public
                && !elsewhere.iter().any(|root| path.starts_with(root))
                && of("GET", &path.replace(['{', '}'], "x")).is_none()
            {
                unsaid.push(path);
            }
        }
        assert!(unsaid.is_empty(), "no policy can speak of {unsaid:?}; name them in access.rs");
    }
}

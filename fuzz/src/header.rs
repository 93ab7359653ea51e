//! Headers that strangers write: what is taken from one has one spelling, and a request has one tenant.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use mcp_core::{
    Scope,
    audit::{AuditRecord, Chain, DenialLog},
    scope::{PrincipalId, RequestId, TenantId, TraceContext},
};
use mcp_tenancy::{
    auth::{Identity, bearer},
    layer::TenantLayer,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::world::{WORLD, acme, head, principal};

/// Names that a line can be under: those that are read, and those that look like them.
const NAMES: [&str; 10] = [
    "authorization",
    "x-api-key",
    "x-tenant-id",
    "X-Tenant-ID",
    "x_tenant_id",
    "x-tenant_id",
    "xtenantid",
    "traceparent",
    "x-request-id",
    "content-type",
];

#[derive(Debug)]
struct NoDenials;

impl DenialLog for NoDenials {
    fn denied(&self, _: Chain, _: AuditRecord) {}
}

/// Each line is a header: its first byte is the name, the rest the value.
///
/// # Panics
/// When what is read is printed as something that reads differently, or a request goes to another tenant than its
/// credential's.
pub fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let Some((name, value)) = line.split_first() else { continue };
        let name = NAMES[usize::from(*name) % NAMES.len()];
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        texts(value);
    }
    credential(&headers);
    tenant(headers);
}

/// Ids and trace contexts read as what they print.
fn texts(text: &str) {
    if let Some(trace) = TraceContext::parse(text) {
        let printed = trace.to_string();
        assert_eq!(TraceContext::parse(&printed), Some(trace), "{text:?}");
        assert!(printed.len() == 55 && printed.starts_with("00-"), "{printed}");
        assert_ne!(trace.trace_id(), 0, "{text:?}");
        assert_eq!(text.get(3..35), printed.get(3..35), "another trace than was said");
    }
    if let Ok(id) = TenantId::parse(text) {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(id) = PrincipalId::parse(text) {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(id) = RequestId::parse(text) {
        assert_eq!(id.as_str(), text);
    }
}

/// A credential comes from one header, which says it alone.
fn credential(headers: &HeaderMap) {
    let parts = head(headers.clone());
    let Ok(found) = bearer(&parts) else { return };
    let shown = headers.get_all("authorization").iter().count() + headers.get_all("x-api-key").iter().count();
    assert_eq!(shown, usize::from(found.is_some()), "{headers:?}");
    if let (Some(token), Some(value)) = (found, headers.get("authorization")) {
        let again = HeaderValue::try_from(format!("Bearer {token}")).expect("what was read can be written");
        let again = head(HeaderMap::from_iter([(http::header::AUTHORIZATION, again)]));
        assert_eq!(bearer(&again).ok().flatten(), Some(token), "{value:?}");
    }
}

/// Whatever the headers say, a request is for the tenant of its credential, or for none.
fn tenant(headers: HeaderMap) {
    let named: Vec<_> = headers.get_all("x-tenant-id").iter().cloned().collect();
    let alike = |name: &HeaderName| {
        let letters = name.as_str().bytes().filter(u8::is_ascii_alphanumeric);
        letters.eq(*b"xtenantid") && name != "x-tenant-id"
    };
    let lookalike = headers.keys().any(alike);
    let inner = service_fn(async |request: Request<()>| {
        let scope = request.extensions().get::<Scope>().expect("a scope").tenant().clone();
        Ok::<_, mcp_core::Error>(
            Response::builder().extension(scope).body(Empty::<Bytes>::new()).expect("a response"),
        )
    });
    let layer = TenantLayer::new(WORLD.tenancy.directory().clone(), std::sync::Arc::new(NoDenials));
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    request.extensions_mut().insert(Identity {
        tenant: acme(),
        principal: std::sync::Arc::new(principal()),
        credential: "key/fuzz".into(),
        expires_at: None,
    });
    let expected = !lookalike && (named.is_empty() || named == ["acme"]);
    match WORLD.runtime.block_on(layer.layer(inner).oneshot(request)) {
        Ok(response) => {
            assert!(expected, "let in with {named:?}, a lookalike: {lookalike}");
            assert_eq!(response.extensions().get::<TenantId>(), Some(&acme()));
        }
        Err(error) => assert!(!expected, "refused with {named:?}: {error}"),
    }
}

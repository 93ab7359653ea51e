//! Clients of 2026-07-28: no session, everything in each request.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use mcp_core::Result;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    body::Body,
    headers,
    legacy::unknown_method,
    level::Level,
    method::Method,
    metrics::Outcome,
    respond,
    service::Posted,
    shared::{Caller, Client, Shared},
};
use crate::{
    jsonrpc::{Envelope, Fault, Shape, code},
    protocol::ProtocolVersion,
};

/// What a stateless request says of itself in `_meta`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    level: Option<Level>,
}

impl<'a> Meta<'a> {
    /// Reads `_meta`; what is malformed counts as missing, and is refused as that.
    pub(super) fn of(params: Option<&'a RawValue>) -> Self {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, rename = "_meta")]
            meta: Option<&'a RawValue>,
        }
        params
            .and_then(|params| serde_json::from_str::<Params<'a>>(params.get()).ok()?.meta)
            .and_then(|meta| serde_json::from_str(meta.get()).ok())
            .unwrap_or_default()
    }
}

/// Whether a message is of a version without sessions.
pub(super) fn is_stateless(headers: &HeaderMap, envelope: &Envelope<'_>, meta: &Meta<'_>) -> bool {
    // Clients that can speak both put the newest version they know into the header of their `initialize`.
    if envelope.method.as_deref() == Some(Method::Initialize.as_str()) {
        return meta.version.is_some();
    }
    // An unknown version is more likely a later one, and is refused with the code for that.
    let named = headers.get(headers::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    let is_later = named
        .is_some_and(|version| ProtocolVersion::parse(version).is_none_or(ProtocolVersion::is_stateless));
    let has_session = headers.contains_key(headers::SESSION_ID);
    meta.version.is_some()
        || (is_later && !has_session)
        || envelope.method.as_deref() == Some(Method::Discover.as_str())
}

impl Shared {
    /// Takes a message of a stateless client.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) while draining.
    pub(super) async fn post_stateless(
        self: &Arc<Self>,
        posted: Posted,
        envelope: Envelope<'_>,
        shape: Shape,
        meta: Meta<'_>,
    ) -> Result<Response<Body>> {
        match shape {
            Shape::Request => {}
            Shape::Notification => return Ok(respond::accepted()),
            Shape::Response => {
                return Ok(respond::refuse_text(
                    StatusCode::BAD_REQUEST,
                    "stateless clients are not asked, so they cannot reply",
                ));
            }
        }
        let id: Box<str> = envelope.id.map_or("null", RawValue::get).into();
        let name = envelope.method.as_deref().unwrap_or_default();
        if let Err(fault) = check(&posted.headers, name, envelope.params, &meta) {
            return Ok(respond::refuse(StatusCode::BAD_REQUEST, Some(&id), &fault));
        }
        let Some(method) = Method::parse(name).filter(|method| method.is_stateless()) else {
            self.metrics.record(None, Outcome::Error, std::time::Duration::ZERO);
            return Ok(respond::refuse(StatusCode::NOT_FOUND, Some(&id), &unknown_method(name)));
        };
        let client = Client::Stateless { level: meta.level };
        let caller = Caller { scope: posted.scope, endpoint: posted.endpoint, client };
        if method == Method::Listen {
            if let Err(refusal) = self.check_permission(&caller, method, &id, envelope.params) {
                return Ok(*refusal);
            }
            return Ok(self.listen_stateless(caller, &id, envelope.params).await);
        }
        self.begin(caller, method, id, envelope.params, posted.in_flight, None).await
    }
}

/// Checks that headers and body say the same.
fn check(headers: &HeaderMap, method: &str, params: Option<&RawValue>, meta: &Meta<'_>) -> Result<(), Fault> {
    let mismatch = |text: String| Fault::new(code::HEADER_MISMATCH, text);
    let header = headers::single(headers, headers::PROTOCOL_VERSION).map_err(mismatch)?;
    let Some(version) = meta.version.as_deref() else {
        return Err(missing("io.modelcontextprotocol/protocolVersion"));
    };
    match header {
        None => return Err(mismatch("the header MCP-Protocol-Version is missing".to_owned())),
        Some(header) if header != version => {
            return Err(mismatch(format!("MCP-Protocol-Version is {header}, but `_meta` says {version}")));
        }
        Some(_) => {}
    }
    if !ProtocolVersion::parse(version).is_some_and(ProtocolVersion::is_stateless) {
        let data = json!({ "requested": version, "supported": [ProtocolVersion::LATEST.as_str()] });
        return Err(Fault::new(code::UNSUPPORTED_VERSION, "Unsupported protocol version").with_data(data));
    }
    if !meta.capabilities.is_some_and(|capabilities| capabilities.get().starts_with('{')) {
        return Err(missing("io.modelcontextprotocol/clientCapabilities"));
    }
    match headers::single(headers, headers::METHOD).map_err(mismatch)? {
        None => return Err(mismatch("the header Mcp-Method is missing".to_owned())),
        Some(header) if header != method => {
            return Err(mismatch(format!("Mcp-Method is {header}, but the body says {method}")));
        }
        Some(_) => {}
    }
    let Some(name) = name_of(method, params) else { return Ok(()) };
    match headers::single(headers, headers::NAME).map_err(mismatch)? {
        None => Err(mismatch("the header Mcp-Name is missing".to_owned())),
        Some(header) if headers::decode(header).as_deref() != Some(&*name) => {
            Err(mismatch(format!("Mcp-Name is {header}, which is not what the body says")))
        }
        Some(_) => Ok(()),
    }
}

fn missing(key: &str) -> Fault {
    Fault::new(code::INVALID_PARAMS, format!("`params._meta` must hold {key}"))
}

/// What `Mcp-Name` must be, for methods that have it.
fn name_of(method: &str, params: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        name: Option<String>,
        uri: Option<String>,
    }
    let read = || serde_json::from_str::<Params>(params?.get()).ok();
    match method {
        "tools/call" | "prompts/get" => read()?.name,
        "resources/read" => read()?.uri,
        _ => None,
    }
}

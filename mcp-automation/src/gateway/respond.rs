//! Responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use mcp_core::layer::{Challenge, StepUp};

use super::body::Body;
use crate::jsonrpc::{Fault, code, write};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON-RPC message.
pub(super) fn json(status: StatusCode, message: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::block(message));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A message that is taken and has no answer.
pub(super) fn accepted() -> Response<Body> {
    status(StatusCode::ACCEPTED)
}

/// A status that says all.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A refusal of the whole request, before any method ran.
pub(super) fn refuse(refusal: StatusCode, id: Option<&str>, fault: &Fault) -> Response<Body> {
    json(refusal, write::fault(id, fault))
}

/// As [`refuse`], with the code for requests that should not have been sent.
pub(super) fn refuse_text(refusal: StatusCode, text: &'static str) -> Response<Body> {
    refuse(refusal, None, &Fault::new(code::INVALID_REQUEST, text))
}

/// A principal that lacks a permission: the step-up challenge of the MCP authorization specification.
pub(super) fn insufficient_scope(id: &str, fault: &Fault, permission: &'static str) -> Response<Body> {
    let mut response = refuse(StatusCode::FORBIDDEN, Some(id), fault);
    // Whole already, for servers without the rescue layer, which adds where the resource's metadata is.
    response.headers_mut().insert(header::WWW_AUTHENTICATE, Challenge::default().step_up(permission));
    response.extensions_mut().insert(StepUp(permission));
    response
}

/// A stream of events.
pub(super) fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies in front of the platform must not hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

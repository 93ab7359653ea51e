//! Clients of the versions with sessions, up to 2025-11-25.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use mcp_core::{Error, Result, Scope};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    body::Body,
    headers,
    method::Method,
    metrics::Outcome,
    path::Endpoint,
    respond,
    service::Posted,
    session::{ClientAbilities, Initialize, Session},
    shared::{Caller, Client, Shared},
};
use crate::{
    jsonrpc::{Envelope, Fault, Shape, code, write},
    protocol::ProtocolVersion,
    upstream::Reply,
};

impl Shared {
    /// Takes a message of a client with a session, or that wants one.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) while draining.
    pub(super) async fn post_legacy(
        self: &Arc<Self>,
        posted: Posted,
        envelope: Envelope<'_>,
        shape: Shape,
    ) -> Result<Response<Body>> {
        if shape == Shape::Request && envelope.method.as_deref() == Some(Method::Initialize.as_str()) {
            return self.open_session(posted, &envelope).await;
        }
        let session = match self.session_of(&posted.scope, &posted.endpoint, &posted.headers) {
            Ok(session) => session,
            Err(refusal) => return Ok(*refusal),
        };
        match shape {
            Shape::Request => self.request_legacy(posted, envelope, session).await,
            Shape::Notification => {
                if envelope.method.as_deref() == Some("notifications/cancelled")
                    && let Some(id) = cancelled_id(envelope.params)
                {
                    session.cancel_call(&id);
                }
                Ok(respond::accepted())
            }
            Shape::Response => Ok(take_reply(&session, &envelope)),
        }
    }

    async fn request_legacy(
        self: &Arc<Self>,
        posted: Posted,
        envelope: Envelope<'_>,
        session: Arc<Session>,
    ) -> Result<Response<Body>> {
        let id: Box<str> = envelope.id.map_or("null", RawValue::get).into();
        let name = envelope.method.as_deref().unwrap_or_default();
        let Some(method) = Method::parse(name).filter(|method| method.is_legacy()) else {
            self.metrics.record(None, Outcome::Error, std::time::Duration::ZERO);
            return Ok(respond::refuse(StatusCode::OK, Some(&id), &unknown_method(name)));
        };
        let call = match session.begin_call(&id) {
            Ok(call) => call,
            Err(error) => return Ok(respond::refuse(StatusCode::OK, Some(&id), &Fault::from(&error))),
        };
        let caller =
            Caller { scope: posted.scope, endpoint: posted.endpoint, client: Client::Legacy(session) };
        self.begin(caller, method, id, envelope.params, posted.in_flight, Some(call)).await
    }

    async fn open_session(
        self: &Arc<Self>,
        posted: Posted,
        envelope: &Envelope<'_>,
    ) -> Result<Response<Body>> {
        let id = envelope.id.map_or("null", RawValue::get);
        let started = tokio::time::Instant::now();
        let asked = envelope.params.and_then(|params| serde_json::from_str::<Initialize>(params.get()).ok());
        let Some(asked) = asked else {
            let fault =
                Fault::new(code::INVALID_PARAMS, "`params` must hold `protocolVersion` and `capabilities`");
            return Ok(respond::refuse(StatusCode::OK, Some(id), &fault));
        };
        let known = ProtocolVersion::parse(&asked.protocol_version).filter(|version| !version.is_stateless());
        let version = known.unwrap_or(ProtocolVersion::LATEST_LEGACY);
        let result = match self.initialize(&posted.scope, &posted.endpoint, version).await {
            Ok(result) => result,
            Err(fault) => {
                self.metrics.record(Some(Method::Initialize), Outcome::Error, started.elapsed());
                return Ok(respond::refuse(StatusCode::OK, Some(id), &fault));
            }
        };
        let session = Session::new(
            &posted.scope,
            posted.endpoint,
            ClientAbilities::parse(&asked.capabilities),
            self.sessions.limits(),
            self.clock.now(),
        )?;
        let session_id = HeaderValue::try_from(session.id.to_string())
            .map_err(|error| Error::internal("gateway.session", "no header value").with_source(error))?;
        self.sessions.insert(session);
        let mut response = respond::json(StatusCode::OK, write::result(id, &result));
        response.headers_mut().insert(headers::SESSION_ID, session_id);
        self.metrics.record(Some(Method::Initialize), Outcome::Ok, started.elapsed());
        Ok(response)
    }

    /// Ends the session a client names.
    pub(super) fn delete(&self, scope: &Scope, endpoint: &Endpoint, headers: &HeaderMap) -> Response<Body> {
        match self.session_of(scope, endpoint, headers) {
            Ok(session) => {
                self.sessions.end(&session);
                respond::status(StatusCode::NO_CONTENT)
            }
            Err(refusal) => *refusal,
        }
    }

    /// The session a request names, checked against its version.
    ///
    /// # Errors
    /// The response to refuse with: 400 without a session or with an unknown version, 404 for a session that
    /// does not exist or is somebody else's.
    pub(super) fn session_of(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        headers: &HeaderMap,
    ) -> Result<Arc<Session>, Box<Response<Body>>> {
        let refuse = |status, text| Box::new(respond::refuse_text(status, text));
        let version = headers::single(headers, headers::PROTOCOL_VERSION).ok().flatten();
        let is_known =
            |text: &str| ProtocolVersion::parse(text).is_some_and(|version| !version.is_stateless());
        if headers.contains_key(headers::PROTOCOL_VERSION) && !version.is_some_and(is_known) {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "this MCP-Protocol-Version is not supported in sessions",
            ));
        }
        let id = headers::single(headers, headers::SESSION_ID)
            .map_err(|_| refuse(StatusCode::BAD_REQUEST, "Mcp-Session-Id must be there once"))?
            .ok_or_else(|| {
                refuse(StatusCode::BAD_REQUEST, "Mcp-Session-Id is missing; begin with `initialize`")
            })?;
        self.sessions
            .find(scope, endpoint, id)
            .ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such session; begin again with `initialize`"))
    }
}

/// The fault for a method nobody knows.
pub(super) fn unknown_method(name: &str) -> Fault {
    let shown: String = name.chars().take(100).collect();
    Fault::new(code::METHOD_NOT_FOUND, format!("unknown method: {shown}"))
}

fn cancelled_id(params: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled<'a> {
        #[serde(borrow)]
        request_id: &'a RawValue,
    }
    let cancelled: Cancelled<'_> = serde_json::from_str(params?.get()).ok()?;
    Some(cancelled.request_id.get().to_owned())
}

/// Routes a client's reply to the server that asked.
fn take_reply(session: &Session, envelope: &Envelope<'_>) -> Response<Body> {
    let reply = match (envelope.result, envelope.error) {
        (Some(result), _) => Reply::Result(result.to_owned()),
        (None, Some(error)) => Reply::Error(error.to_owned()),
        (None, None) => {
            return respond::refuse_text(StatusCode::BAD_REQUEST, "a reply needs a result or an error");
        }
    };
    let answered =
        envelope.id.and_then(|id| id.get().parse().ok()).is_some_and(|id: u64| session.answer(id, reply));
    if answered {
        respond::accepted()
    } else {
        respond::refuse_text(StatusCode::BAD_REQUEST, "nobody waits for this reply")
    }
}

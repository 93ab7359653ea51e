//! `/v1/chat/completions`.

use std::convert::Infallible;

use axum::{
    Extension,
    body::Body,
    extract::{State, rejection::BytesRejection},
    response::Response,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use mcp_core::{Error, ErrorKind, Scope, http_api::ApiError};
use utoipa::ToSchema;

use super::{
    InferenceApi, error,
    spending::{CHAT_TOKENS, of_chat, settled},
};
use crate::{
    chat::{ChatRequest, ChatStream},
    router::{ChatAnswer, Routed},
};

/// Says which deployment answered.
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-mcp-deployment");
/// Tells proxies such as nginx to hand the events on at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// OpenAI's request; further fields reach the provider as they are.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as raw JSON")]
pub(super) struct ChatCompletionRequest {
    /// The name of a route.
    model: String,
    #[schema(value_type = Vec<Object>, min_items = 1)]
    messages: Vec<()>,
    /// Whether to answer in server-sent events.
    stream: Option<bool>,
}

/// Answers a chat, whole, or in chunks where the request says `stream`.
///
/// A stream ends with `data: [DONE]`, or with an event that holds an `error`.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "models",
    request_body = ChatCompletionRequest,
    responses(
        (status = 200, description = "The provider's answer, or its chunks as `text/event-stream`"),
        (status = 400, description = "The request is at fault"),
        (status = 403, description = "The permission `models:use` is missing"),
        (status = 404, description = "There is no such model"),
        (status = 413, description = "The request is too large"),
        (status = 429, description = "All providers refuse further requests for now, or a quota is used up"),
        (status = 502, description = "No provider answered; the message says why for each"),
        (status = 503, description = "No provider can be asked now"),
        (status = 504, description = "No provider answered in time"),
    )
)]
pub(super) async fn complete(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    api.require(&scope, "chat")?;
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let request = ChatRequest::parse(&body)?;
    api.router.knows(request.model())?;
    let spending = api.spend(&scope, request.model(), CHAT_TOKENS, of_chat(&request)).await?;
    let routed = match api.router.chat(&scope, &request).await {
        Ok(routed) => routed,
        Err(error) => {
            if let Some(spending) = spending {
                spending.unanswered().await;
            }
            return Err(error.into());
        }
    };
    let Routed { answer, deployment, used } = routed;
    let mut response = match answer {
        ChatAnswer::Whole(whole) => {
            if let Some(spending) = spending {
                spending.answered(used.tokens()).await;
            }
            with_type(Body::from(whole.json), "application/json")
        }
        ChatAnswer::Stream(chunks) => {
            let chunks = settled(chunks, used, spending);
            let mut response = with_type(events(scope, chunks), "text/event-stream");
            response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A model's name that is no header value is left out; the answer is the same.
    if let Ok(deployment) = HeaderValue::try_from(deployment) {
        headers.insert(DEPLOYMENT, deployment);
    }
    Ok(response)
}

fn unreadable(rejection: &BytesRejection) -> Error {
    let kind = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidInput,
    };
    Error::new(kind, "api.body", rejection.body_text())
}

fn with_type(body: Body, media_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An event a chunk, handed on as it comes, then `[DONE]`; an error is the last event, without `[DONE]`.
///
/// The body owns the stream: when the client goes away, so does the request at the provider.
fn events(scope: Scope, chunks: ChatStream) -> Body {
    Body::from_stream(stream::unfold(Some(chunks), move |chunks| {
        let request_id = scope.request_id().clone();
        async move {
            let mut chunks = chunks?;
            let (data, rest) = match chunks.next().await {
                Some(Ok(chunk)) => (event(&chunk.json), Some(chunks)),
                Some(Err(error)) => {
                    tracing::warn!(%request_id, error = error.report(), "a chat broke off");
                    (event(error::openai(&error).to_string().as_bytes()), None)
                }
                None => (event(b"[DONE]"), None),
            };
            Some((Ok::<_, Infallible>(data), rest))
        }
    }))
}

/// `data` holds no line end.
fn event(data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(data);
    event.put_slice(b"\n\n");
    event.freeze()
}

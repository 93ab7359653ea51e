//! A scripted server that speaks OpenAI's wire, for where no model is at hand: the demo, and the tests.
//!
//! Its answers say that they are scripted. It fails on request: the model that is asked for names the fault.

use std::{convert::Infallible, io, net::SocketAddr};

use axum::{Router, body::Body, extract::Json, response::Response, routing::post};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// The model that answers; others fail in the way they are called.
pub(crate) const ECHO: &str = "echo";

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Scripted {
    address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

impl Scripted {
    /// Listens on a free port of this machine.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new().route("/v1/chat/completions", post(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, serving })
    }

    /// Where its API begins.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(Json(request): Json<Value>) -> Response {
    let stream = request["stream"] == true;
    match request["model"].as_str().unwrap_or_default() {
        ECHO if stream => events(words(&request), true),
        "untold" => {
            let mut untold = completion(&request);
            untold["usage"] = Value::Null;
            json_answer(StatusCode::OK, &untold)
        }
        "never-ending" => {
            let begun =
                stream::once(async { Ok::<_, Infallible>(chunk(&json!({ "content": "Well" }), None)) });
            let mut response = typed("text/event-stream", String::new());
            *response.body_mut() = Body::from_stream(begun.chain(stream::pending()));
            response
        }
        ECHO => json_answer(StatusCode::OK, &completion(&request)),
        "half-a-stream" => events(words(&request)[..2].to_vec(), false),
        fault => failing(fault, stream).await,
    }
}

async fn failing(fault: &str, stream: bool) -> Response {
    let error = |message: &str| json!({ "error": { "message": message, "type": "server_error" } });
    match fault {
        "busy" => {
            let mut response = json_answer(StatusCode::TOO_MANY_REQUESTS, &error("slow down"));
            response.headers_mut().insert(header::RETRY_AFTER, 1.into());
            response
        }
        "broken" => json_answer(StatusCode::INTERNAL_SERVER_ERROR, &error("scripted defect")),
        "wrong-key" => json_answer(StatusCode::UNAUTHORIZED, &error("scripted refusal")),
        "error-inside" if stream => typed("text/event-stream", format!("data: {}\n\n", error("scripted"))),
        "error-inside" => json_answer(StatusCode::OK, &error("scripted")),
        "garbage" if stream => typed("text/event-stream", "data: {\"choices\n\n".to_owned()),
        "garbage" => typed("application/json", "{\"choices\"".to_owned()),
        "wrong-type" => typed("text/html", "<html>scripted</html>".to_owned()),
        "over-long" => endless(stream),
        "half-an-answer" => cut(stream),
        "silent" => std::future::pending().await,
        unknown => {
            let message = format!("The model `{unknown}` does not exist");
            let body = json!({ "error": { "message": message, "code": "model_not_found" } });
            json_answer(StatusCode::NOT_FOUND, &body)
        }
    }
}

/// What the server says: what the caller said last, and that it is scripted.
fn words(request: &Value) -> Vec<String> {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let said = last.and_then(|message| message["content"].as_str()).unwrap_or("nothing");
    let text = format!("[scripted] You said: {said}");
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn usage(request: &Value) -> Value {
    let (prompt, completion) = (request["messages"].as_array().map_or(0, Vec::len), words(request).len());
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

fn completion(request: &Value) -> Value {
    let message = json!({ "role": "assistant", "content": words(request).concat() });
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 0, "model": "echo",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": usage(request),
    })
}

fn chunk(delta: &Value, finish: Option<&str>) -> Bytes {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    let chunk = json!({
        "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0, "model": "echo",
        "choices": [choice],
    });
    Bytes::from(format!("data: {chunk}\n\n"))
}

/// A stream of these words; one that is not `whole` just ends.
fn events(words: Vec<String>, whole: bool) -> Response {
    let usage =
        json!({ "prompt_tokens": 1, "completion_tokens": words.len(), "total_tokens": words.len() + 1 });
    let last = json!({
        "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0, "model": "echo",
        "choices": [], "usage": usage,
    });
    let mut parts = vec![chunk(&json!({ "role": "assistant", "content": "" }), None)];
    parts.extend(words.into_iter().map(|word| chunk(&json!({ "content": word }), None)));
    if whole {
        parts.push(chunk(&json!({}), Some("stop")));
        parts.push(Bytes::from(format!("data: {last}\n\n")));
        parts.push(Bytes::from_static(b"data: [DONE]\n\n"));
    }
    let mut response = typed("text/event-stream", String::new());
    *response.body_mut() = Body::from_stream(stream::iter(parts).map(Ok::<_, Infallible>));
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let mut response = typed("application/json", body.to_string());
    *response.status_mut() = status;
    response
}

fn typed(media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    response
}

/// More than anybody reads.
fn endless(stream: bool) -> Response {
    let media_type = if stream { "text/event-stream" } else { "application/json" };
    let block = Bytes::from(vec![b' '; 1 << 20]);
    let mut response = typed(media_type, String::new());
    *response.body_mut() = Body::from_stream(stream::repeat(block).map(Ok::<_, Infallible>));
    response
}

/// An answer that breaks off before it says anything.
fn cut(stream: bool) -> Response {
    let (media_type, begun) = match stream {
        true => ("text/event-stream", chunk(&json!({ "role": "assistant" }), None)),
        false => ("application/json", Bytes::from_static(b"{\"choices\": [")),
    };
    let mut response = typed(media_type, String::new());
    let parts = vec![Ok(begun), Err(io::Error::other("scripted"))];
    *response.body_mut() = Body::from_stream(stream::iter(parts));
    response
}

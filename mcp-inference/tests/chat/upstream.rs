//! A scripted OpenAI-compatible server, byte for byte: it can break off where a real one would crash.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mcp_core::{
    Scope,
    clock::SystemClock,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_inference::chat::{
    ChatRequest,
    openai::{OpenAiConfig, OpenAiProvider},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the server does on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(String),
    /// Says nothing more, until the client goes away.
    Hold,
}

/// What the server heard.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Value,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    left: watch::Receiver<usize>,
}

impl Upstream {
    /// A server that answers the nth request with the nth script, and every further one with the last.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (gone, left) = watch::channel(0);
        let (count, notes) = (AtomicUsize::new(0), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = scripts[count.fetch_add(1, Ordering::SeqCst).min(scripts.len() - 1)].clone();
                tokio::spawn(play(stream, script, Arc::clone(&notes), gone.clone()));
            }
        });
        Self { address, heard, left }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until a client has gone away before the server was done.
    pub(crate) async fn abandoned(&mut self) {
        let gone = tokio::time::timeout(Duration::from_secs(10), self.left.wait_for(|left| *left > 0));
        gone.await.expect("the client does not go away").unwrap();
    }

    pub(crate) fn config(&self, name: &str) -> OpenAiConfig {
        OpenAiConfig::new(name, &format!("http://{}/v1", self.address)).unwrap()
    }

    pub(crate) fn provider(&self, name: &str) -> OpenAiProvider {
        provider(self.config(name))
    }
}

pub(crate) fn provider(config: OpenAiConfig) -> OpenAiProvider {
    OpenAiProvider::new(config, Arc::new(SystemClock)).unwrap()
}

async fn play(
    stream: TcpStream,
    script: Vec<Step>,
    heard: Arc<Mutex<Vec<Heard>>>,
    gone: watch::Sender<usize>,
) {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    heard.lock().unwrap().push(Heard { head, body: serde_json::from_slice(&body).unwrap() });
    for step in script {
        match step {
            Step::Send(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Step::Hold => {
                let _ = stream.read(&mut [0]).await;
                gone.send_modify(|count| *count += 1);
                return;
            }
        }
    }
}

/// A whole response.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<Step> {
    vec![Step::Send(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    ))]
}

pub(crate) const JSON: &str = "content-type: application/json\r\n";

/// A good completion that says `text`.
pub(crate) fn says(text: &str) -> Vec<Step> {
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "real",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 },
    });
    answer("200 OK", JSON, &body.to_string())
}

/// The head of a stream; what follows ends with the connection.
pub(crate) fn stream_head() -> Step {
    Step::Send(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n"
            .to_owned(),
    )
}

pub(crate) fn event(data: &str) -> Step {
    Step::Send(format!("data: {data}\n\n"))
}

pub(crate) fn delta(delta: &Value, finish: Option<&str>) -> Step {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    event(&json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice] }).to_string())
}

/// The first chunk, which tells only that there will be more.
pub(crate) fn role() -> Step {
    delta(&json!({ "role": "assistant", "content": "" }), None)
}

/// A good stream that says these words and tells what it used.
pub(crate) fn streams(words: &[&str]) -> Vec<Step> {
    let mut steps = vec![stream_head(), role()];
    steps.extend(words.iter().map(|word| delta(&json!({ "content": word }), None)));
    steps.push(delta(&json!({}), Some("stop")));
    steps.push(event(r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#));
    steps.push(event("[DONE]"));
    steps
}

pub(crate) fn scope() -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("u1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["models:use"]).unwrap(),
    };
    Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
}

pub(crate) fn request(model: &str) -> ChatRequest {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    ChatRequest::parse(body.to_string().as_bytes()).unwrap()
}

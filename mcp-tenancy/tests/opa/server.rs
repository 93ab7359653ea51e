//! A server that speaks OPA's protocol: `POST /v1/data/{path}` with an `input`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// What a policy in Rego decides on the input.
    Decided(fn(&str, &str) -> String),
    /// A status and a body, whatever is asked.
    Fixed(u16, &'static str),
    /// Nothing, on an open connection.
    Silence,
    /// A body beyond every bound.
    Huge,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    paths: Vec<String>,
}

/// Answers each connection once.
#[derive(Debug)]
pub(crate) struct OpaServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl OpaServer {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { answer, paths: Vec::new() }));
        let served = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, served.clone()));
            }
        });
        Self { address, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths that were asked.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.state.lock().unwrap().paths.clone()
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    /// Closes the port.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some((path, body)) = read(&mut stream).await else { return };
    let answer = {
        let mut state = state.lock().unwrap();
        state.paths.push(path.clone());
        state.answer
    };
    let (status, body) = match answer {
        Answer::Silence => std::future::pending().await,
        Answer::Fixed(status, body) => (status, body.to_owned()),
        Answer::Huge => {
            (200, format!("{{\"result\": {{\"allow\": true, \"x\": \"{}\"}}}}", "x".repeat(1 << 20)))
        }
        Answer::Decided(decide) => (200, decide(&path, &body)),
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nlocation: /v1/data/x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// The path and body of one request.
async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            })?;
            if body.len() >= length {
                let path = head.split(' ').nth(1)?.to_owned();
                return (head.starts_with("POST ")).then(|| (path, body.to_owned()));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => received.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}

//! A server that speaks the protocol of an Open Policy Agent, on threads of its own, and misbehaves when told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// What becomes of questions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    /// They are decided.
    Well,
    /// They are taken and never answered.
    Silent,
    /// This is the answer to all.
    Says(&'static str),
}

/// What it says to an input.
pub(crate) type Decide = fn(&Value) -> Value;

#[derive(Clone)]
struct Inner {
    decide: Decide,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
}

pub(crate) struct Opa {
    address: SocketAddr,
    inner: Inner,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Opa {
    /// Where it decides for the tenant `acme`, as `tenants/{tenant}/authz` names it.
    const PATH: &str = "/v1/data/tenants/acme/authz";

    pub(crate) fn start(decide: Decide) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner { decide, mood: Arc::new(Mutex::new(Mood::Well)), asked: Arc::default() };
        let app = Router::new().route(Self::PATH, post(answer)).with_state(inner.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        // On a runtime of its own, with which its open connections go too.
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = axum::serve(listener, app).into_future() => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, inner, running: Some((stop, running)) }
    }

    /// The section `[policy]` that has it asked.
    pub(crate) fn settings(&self, further: &str) -> String {
        let Self { address, .. } = self;
        format!(
            "[policy]\nopa_url = \"http://{address}\"\nopa_path = \"tenants/{{tenant}}/authz\"\n{further}"
        )
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.inner.asked.load(Ordering::SeqCst)
    }

    /// As when it is killed: its connections break and nobody listens.
    pub(crate) fn end(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            drop(stop);
            running.join().unwrap();
        }
    }
}

impl Drop for Opa {
    fn drop(&mut self) {
        self.end();
    }
}

async fn answer(State(inner): State<Inner>, Json(asked): Json<Value>) -> Response {
    inner.asked.fetch_add(1, Ordering::SeqCst);
    let mood = *inner.mood.lock().unwrap();
    match mood {
        Mood::Well => Json(json!({ "result": (inner.decide)(&asked["input"]) })).into_response(),
        Mood::Silent => std::future::pending().await,
        Mood::Says(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
    }
}

//! The REST API as a tenant's program calls it, and what operators see of it.

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use super::{
    Served,
    http::{Answer, Attempt},
};

/// One tenant's caller.
#[derive(Clone)]
pub(crate) struct Caller {
    base: String,
    token: String,
}

impl Caller {
    pub(crate) fn new(served: &Served, token: &Secret<String>) -> Self {
        let base = served.url.trim_end_matches('/').trim_end_matches("/mcp").to_owned();
        Self { base, token: token.expose().clone() }
    }

    pub(crate) fn attempt(&self, method: Method, path: &str) -> Attempt {
        Attempt::new(method, &format!("{}/api/v1{path}", self.base)).bearer(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.attempt(Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.attempt(Method::POST, path).body(body.to_string()).send().await
    }

    /// A new context's id.
    pub(crate) async fn context(&self) -> String {
        let made = self.post("/contexts", &json!({ "data": { "conversation_history": [] } })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(made.headers["etag"], "\"1\"");
        made.json()["context_id"].as_str().unwrap().to_owned()
    }
}

/// What `/ready` says to operators, and whether it is.
pub(crate) async fn ready(served: &Served) -> Answer {
    Attempt::new(Method::GET, &format!("{}/ready", served.operations)).send().await
}

/// The text of `/metrics`.
pub(crate) async fn metrics(served: &Served) -> String {
    let operations = served.operations.trim_end_matches('/').trim_end_matches("/ready");
    let answer = Attempt::new(Method::GET, &format!("{operations}/metrics")).send().await;
    String::from_utf8_lossy(&answer.body).into_owned()
}

//! A real identity provider: npm `oidc-provider`, in a process of its own that ends with this value.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    bounded::{LIMIT, Lines},
    http::{Answer, Attempt},
    processes, tools,
};

/// Tokens of this resource are signed with ES256, as the last part of its name says.
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp/ES256";

pub(crate) struct Provider {
    pub(crate) issuer: String,
    secret: String,
    process: Child,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let tools = tools().join("oidc");
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../mcp-tenancy/tests/data/oidc/provider.mjs");
        let mut process = Command::new(tools.join("node_modules/node/bin/node"))
            .arg(script)
            .arg(&tools)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Lines::of("the identity provider", process.stdout.take().unwrap(), LIMIT);
        let started: Value = serde_json::from_str(&lines.next().expect("it did not start")).unwrap();
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        Self { issuer: text("issuer"), secret: text("secret"), process }
    }

    /// A token of a client that acts for itself: `robot` is of the tenant `acme`, `other` of `beta`.
    pub(crate) async fn token(&self, client: &str) -> String {
        let form = format!("grant_type=client_credentials&scope=tools:call&resource={RESOURCE}");
        let answer = self.post("/token", client, form).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, client: &str, body: String) -> Answer {
        let secret = self.secret.replace(' ', "+").replace(':', "%3A").replace('&', "%26");
        let credentials = STANDARD.encode(format!("{client}:{secret}"));
        Attempt::new(Method::POST, &format!("{}{path}", self.issuer))
            .instead("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &format!("Basic {credentials}"))
            .body(body)
            .send()
            .await
    }

    /// Where it listens: `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.issuer.strip_prefix("http://").unwrap()
    }

    /// It takes connections and requests, and answers none, until it is thawed.
    pub(crate) fn freeze(&self) {
        processes::freeze(self.process.id());
    }

    pub(crate) fn thaw(&self) {
        processes::thaw(self.process.id());
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

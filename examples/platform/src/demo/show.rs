//! What the demo prints: each step with its time as it ends.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use mcp_core::Result;
use serde_json::json;

use super::steps::Tour;
use crate::cli::output;

/// Prints the steps as rows for people or as JSON objects, a line each, for programs: `ok` is `null` where a
/// step was skipped.
pub(super) struct Show {
    json: bool,
    began: Instant,
    steps: usize,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        Self { json, began: Instant::now(), steps: 0 }
    }

    /// A step that cannot be shown here, and why.
    pub(super) fn skip(&self, name: &str, why: &str) {
        if self.json {
            output::text(&format!("{}\n", json!({ "step": name, "ok": null, "skipped": why })));
        } else {
            output::text(&format!("{:<7}{:>6}     {name:<44}  {why}\n", "skipped", ""));
        }
    }

    /// Runs one step and prints what it found.
    pub(super) async fn step<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<(T, String)>>,
    ) -> Result<T> {
        let began = Instant::now();
        let result = step.await;
        self.steps += 1;
        let (mark, found) = match &result {
            Ok((_, found)) => ("ok", found.clone()),
            Err(error) => ("FAILED", error.report()),
        };
        self.print(mark, began.elapsed(), name, &found);
        result.map(|(value, _)| value)
    }

    fn print(&self, mark: &str, took: Duration, name: &str, found: &str) {
        let millis = took.as_millis();
        if self.json {
            let row = json!({ "step": name, "ok": mark == "ok", "millis": millis, "found": found });
            output::text(&format!("{row}\n"));
        } else {
            output::text(&format!("{mark:<7}{millis:>6} ms  {name:<44}  {found}\n"));
        }
    }

    /// The closing line.
    pub(super) fn end(&self) {
        if !self.json {
            output::text(&format!("{} steps in {:.1} s\n", self.steps, self.began.elapsed().as_secs_f64()));
        }
    }

    /// With `--stay`: how to go on by hand.
    pub(super) async fn invite(&self, tour: &Tour<'_>) -> Result<()> {
        let (url, token) = (tour.url, tour.token_of("acme").await?);
        let token = token.expose();
        output::text(&format!(
            "\nThe platform stays at {url}. Take a token of the tenant acme:\n\n  \
             TOKEN={token}\n\n\
             and try:\n\n  \
             curl -s {url} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n    \
             -H 'Accept: application/json, text/event-stream' -H 'Mcp-Method: tools/list' \\\n    \
             -H 'MCP-Protocol-Version: 2026-07-28' -d '{}'\n\n  \
             npx -y -p node@22 -p @modelcontextprotocol/inspector@2.12.0 mcp-inspector --cli {url} \\\n    \
             --transport http --header \"Authorization: Bearer $TOKEN\" --method tools/list\n\n\
             Ctrl-C ends it.\n",
            stateless_list(),
        ));
        Ok(())
    }
}

/// A `tools/list` of protocol 2026-07-28: one request without a session.
fn stateless_list() -> serde_json::Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "curl", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
        } },
    })
}

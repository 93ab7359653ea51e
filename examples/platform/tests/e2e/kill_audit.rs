//! `kill -9` of the platform under load: every change that it acknowledged is in its chain, and the chains verify.

use std::collections::HashSet;

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{Served, api::Caller, bounded::within, database::Database, http::Attempt};

/// How often it is killed, on the same data.
const ROUNDS: usize = 3;
/// Acknowledged changes before each kill, and who makes them at once.
const CHANGES: usize = 120;
const WRITERS: usize = 6;

/// A change that was acknowledged: whose chain it must be in, and as what.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Acknowledged {
    /// The platform's chain, where keys are administered.
    Key(String),
    /// The tenant's own.
    Deleted(String),
}

/// Makes changes and says which were acknowledged, until nobody answers any more.
async fn write(caller: Caller, number: usize, acknowledged: mpsc::UnboundedSender<Acknowledged>) {
    loop {
        let change = if number.is_multiple_of(2) { key(&caller).await } else { deletion(&caller).await };
        // Who was killed answers nothing; what it had begun may have happened or not.
        let Some(change) = change else { return };
        if acknowledged.send(change).is_err() {
            return;
        }
    }
}

async fn key(caller: &Caller) -> Option<Acknowledged> {
    let new = json!({ "name": "k", "principal": "operator", "permissions": ["tools:list"] });
    let made = caller.attempt(Method::POST, "/keys").body(new.to_string()).try_send().await?;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    Some(Acknowledged::Key(format!("key/{}", made.json()["id"].as_str()?)))
}

async fn deletion(caller: &Caller) -> Option<Acknowledged> {
    let made = caller.attempt(Method::POST, "/contexts").body("{}").try_send().await?;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.json()["context_id"].as_str()?.to_owned();
    let deleted = caller.attempt(Method::DELETE, &format!("/contexts/{id}")).try_send().await?;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
    Some(Acknowledged::Deleted(format!("context/{id}")))
}

/// Resources of all records at `path`.
async fn resources(served: &Served, operator: &Secret<String>, path: &str) -> HashSet<String> {
    let mut resources = HashSet::new();
    let mut cursor = String::new();
    loop {
        let url = served.api(&format!("{path}?limit=200{cursor}"));
        let page = Attempt::new(Method::GET, &url).bearer(operator.expose()).send().await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let page = page.json();
        let text = |record: &Value| record["resource"].as_str().map(str::to_owned);
        resources.extend(page["items"].as_array().unwrap().iter().filter_map(text));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return resources,
        }
    }
}

async fn killed_under_load(mut served: Served) {
    served.run();
    let token = served.tenant("acme");
    let operator = served.operator_key();
    let mut acknowledged = HashSet::new();
    for round in 0..ROUNDS {
        let (send, mut received) = mpsc::unbounded_channel();
        let caller = Caller::new(&served, &token);
        let writers: Vec<_> =
            (0..WRITERS).map(|number| tokio::spawn(write(caller.clone(), number, send.clone()))).collect();
        drop(send);
        for _ in 0..CHANGES {
            let change = within("an acknowledged change", received.recv()).await;
            acknowledged.insert(change.expect("a writer ended early"));
        }
        served.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        // What was under way to us when it was killed was acknowledged too.
        while let Some(change) = within("the last changes", received.recv()).await {
            acknowledged.insert(change);
        }
        let report = served.command(&["audit", "verify"]);
        assert_eq!(report["intact"], true, "round {round}: {report}");

        served.run();
        let administered = resources(&served, &operator, "/operator/audit").await;
        let own = resources(&served, &operator, "/operator/tenants/acme/audit").await;
        for change in &acknowledged {
            let found = match change {
                Acknowledged::Key(resource) => administered.contains(resource),
                Acknowledged::Deleted(resource) => own.contains(resource),
            };
            assert!(found, "round {round}: {change:?} was acknowledged and is in no chain");
        }
    }
    assert!(acknowledged.len() >= ROUNDS * CHANGES);
    assert!(served.stop().success());
    let report = served.command(&["audit", "verify"]);
    assert_eq!(report["intact"], true, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_in_its_chain() {
    killed_under_load(Served::prepare(&json!({}), OPERATORS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_in_its_chain_on_postgres() {
    let database = Database::postgres().await;
    let served = Served::prepare(&json!({}), &format!("{OPERATORS}{}", database.settings()));
    served.command(&["migrate"]);
    killed_under_load(served).await;
    database.end().await;
}

/// Within `[server]`: reading every page must not be held to a minute's requests.
const OPERATORS: &str = "operator_requests_per_minute = 1000000\n";

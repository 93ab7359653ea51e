//! Two tenants, interleaved at random through the whole platform: neither sees a byte of the other.

use crate::support::{Served, fixture, processes};
use futures_util::future::join_all;
use mcp_platform::client::McpClient;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

/// Calls in all: rounds × calls a round.
const ROUNDS: u32 = 4;
const CALLS: usize = 2_500;
/// Clients of each tenant that call at once.
const CLIENTS: usize = 6;

#[derive(Debug, Clone)]
enum Call {
    Echo(String),
    Remember(u8, String),
    Recall(u8),
    List,
    Trespass,
}

fn call() -> impl Strategy<Value = Call> {
    let text = "[ -~]{0,200}";
    prop_oneof![
        4 => text.prop_map(Call::Echo),
        2 => (any::<u8>(), text).prop_map(|(key, value)| Call::Remember(key, value)),
        2 => any::<u8>().prop_map(Call::Recall),
        1 => Just(Call::List),
        1 => Just(Call::Trespass),
    ]
}

struct Caller {
    tenant: &'static str,
    other: &'static str,
    client: McpClient,
}

/// In everything a tenant sends, and so in nothing the other may receive.
fn marker(tenant: &str) -> String {
    format!("<<only {tenant}>>")
}

impl Caller {
    async fn make(&mut self, call: Call) -> Result<(), TestCaseError> {
        let mine = marker(self.tenant);
        let seen = match call {
            Call::Echo(text) => {
                let sent = format!("{mine}{text}");
                let seen = self.done("fixture__echo", json!({ "message": sent })).await?;
                prop_assert!(seen.contains(&mine), "the echo of {} lost its marker: {seen}", self.tenant);
                seen
            }
            Call::Remember(key, text) => {
                let (name, value) = (key.to_string(), format!("{mine}{text}"));
                let remembered =
                    self.done("fixture__remember", json!({ "name": name, "value": value })).await?;
                // Another client of the tenant may have written since, but none of the other tenant.
                let recalled = self.done("fixture__recall", json!({ "name": name })).await?;
                prop_assert!(recalled.contains(&mine), "what {} remembered is gone: {recalled}", self.tenant);
                remembered + &recalled
            }
            Call::Recall(key) => self.done("fixture__recall", json!({ "name": key.to_string() })).await?,
            Call::List => {
                let listed = self.client.tools().await;
                let listed = listed.map_err(|error| TestCaseError::fail(error.report()))?;
                prop_assert!(listed.iter().any(|tool| tool == "fixture__echo"), "{listed:?}");
                format!("{listed:?}")
            }
            Call::Trespass => {
                let headers = [("x-tenant-id", self.other)];
                let answer = self.client.attempt("tools/list", &json!({}), &headers).await;
                let answer = answer.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(answer.status, http::StatusCode::FORBIDDEN);
                answer.body.to_string()
            }
        };
        prop_assert!(!seen.contains(&marker(self.other)), "{} saw of the other: {seen}", self.tenant);
        Ok(())
    }

    /// What a tool answers, which must succeed.
    async fn done(&mut self, name: &str, arguments: serde_json::Value) -> Result<String, TestCaseError> {
        let answer = self.client.call(name, &arguments).await;
        answer.map_err(|error| TestCaseError::fail(format!("{name}: {}", error.report())))
    }
}

#[test]
fn ten_thousand_interleaved_calls_show_no_byte_of_the_other() {
    let mark = uuid::Uuid::new_v4().to_string();
    let mut served = Served::start(&json!({ "fixture": fixture(&mark, &[]) }), "");
    let tokens = [("acme", served.tenant("acme")), ("globex", served.tenant("globex"))];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: ROUNDS, max_shrink_iters: 8, ..Default::default() });
    let rounds = prop::collection::vec((any::<prop::sample::Index>(), call()), CALLS);
    runner
        .run(&rounds, |calls| {
            runtime.block_on(async {
                let mut callers = Vec::new();
                for index in 0..2 * CLIENTS {
                    let (tenant, token) = &tokens[index % 2];
                    let client = served.client(token).await;
                    callers.push(Caller { tenant, other: tokens[(index + 1) % 2].0, client });
                }
                let mut work: Vec<Vec<Call>> = vec![Vec::new(); callers.len()];
                for (index, call) in calls {
                    work[index.index(callers.len())].push(call);
                }
                let all = callers.iter_mut().zip(work).map(|(caller, calls)| async move {
                    for call in calls {
                        caller.make(call).await?;
                    }
                    Ok(())
                });
                join_all(all).await.into_iter().collect()
            })
        })
        .unwrap();
    assert!(processes::marked(&mark).len() >= 2, "each tenant has a process of its own");
    assert!(served.stop().success());
    assert_eq!(processes::marked(&mark), [0_u32; 0], "nothing is left running");
}

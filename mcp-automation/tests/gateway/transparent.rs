//! What passes unread, byte for byte; and tenants that never see each other.

use mcp_automation::protocol::ProtocolVersion;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Bench, Client, TestServer, bench, bytes, empty_bench};

/// JSON text with spellings that a decoder would change: blanks, number forms, escapes, order, odd names.
fn odd_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1.0".to_owned()),
        Just("1e0".to_owned()),
        Just("-0".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just("0.10000000000000000001".to_owned()),
        Just(r#""\u0041\/é😀""#.to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[ {} ]", items.join(" ,\t"))),
            prop::collection::vec(("[a-z_]{1,9}", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .enumerate()
                    .map(|(n, (key, value))| format!("\"{key}{n}\" :{value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn only_the_name_is_rewritten_both_ways(arguments in odd_json(), extra in odd_json(), id in "[1-9][0-9]{0,20}|\"[ -!#-\\[\\]-~]{0,9}\"") {
        runtime().block_on(async {
            let bench = bench(vec![TestServer::new("one", ProtocolVersion::V2025_11_25, &["mirror"])]);
            let client = bench.ann().initialize(json!({})).await;
            let params = |name: &str| {
                format!("{{ \"x-first\" : {extra}, \"name\": \"{name}\" ,\"arguments\":{arguments}, \"_meta\":{{\"k\":{extra}}} }}")
            };
            let body = format!("{{\"id\":{id}, \"method\":\"tools/call\",\"params\":{},\"jsonrpc\":\"2.0\"}}", params("one__mirror"));
            let answer = bytes(client.post(body).await).await;
            let sent = params("mirror");
            assert_eq!(bench.server("acme", "one").calls_of("tools/call"), [Some(sent.clone())]);
            let expected = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"seen\":{sent}}}}}");
            assert_eq!(std::str::from_utf8(&answer).unwrap(), expected);
        });
    }
}

/// One step of a tenant's client.
#[derive(Debug, Clone, Copy)]
enum Step {
    List,
    Echo,
    ReadOwn,
    Prompts,
    OtherTenantsTool,
    OtherTenantsResource,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::List),
        Just(Step::Echo),
        Just(Step::ReadOwn),
        Just(Step::Prompts),
        Just(Step::OtherTenantsTool),
        Just(Step::OtherTenantsResource),
    ]
}

async fn run(client: &Client, own: &str, other: &str, step: Step, id: usize, stateless: bool) -> String {
    let (method, params) = match step {
        Step::List => ("tools/list", json!({})),
        Step::Echo => ("tools/call", json!({"name": format!("{own}__echo"), "arguments": {"text": "-"}})),
        Step::ReadOwn => ("resources/read", json!({"uri": format!("test://{own}/static")})),
        Step::Prompts => ("prompts/list", json!({})),
        Step::OtherTenantsTool => ("tools/call", json!({"name": format!("{other}__echo"), "arguments": {}})),
        Step::OtherTenantsResource => ("resources/read", json!({"uri": format!("test://{other}/static")})),
    };
    let response = if stateless {
        client.send(client.stateless_request(method, params)).await.unwrap()
    } else {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        client.post(body.to_string()).await
    };
    String::from_utf8(bytes(response).await.to_vec()).unwrap()
}

async fn two_tenants() -> (Bench, [Client; 2]) {
    let bench = empty_bench(mcp_automation::gateway::GatewayConfig::default());
    for (tenant, secret) in [("acme", "SECRET-OF-ACME"), ("umbrella", "SECRET-OF-UMBRELLA")] {
        // Both have a server of one name, too: the most likely way to mix them up.
        let servers = [tenant, "shared"].map(|name| {
            let mut server = TestServer::new(name, ProtocolVersion::V2025_11_25, &["echo"]);
            server.secret = secret.to_owned();
            server
        });
        bench.add(tenant, servers.into());
    }
    let acme = bench.client("acme", "ann", &["*"]).initialize(json!({})).await;
    let umbrella = bench.client("umbrella", "ann", &["*"]).initialize(json!({})).await;
    (bench, [acme, umbrella])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn interleaved_tenants_see_their_own_only(steps in prop::collection::vec((any::<bool>(), step(), any::<bool>()), 1..250)) {
        runtime().block_on(async {
            let (bench, clients) = two_tenants().await;
            let tenants = ["acme", "umbrella"];
            let secrets = ["SECRET-OF-ACME", "SECRET-OF-UMBRELLA"];
            let runs = steps.iter().enumerate().map(|(id, (second, step, stateless))| {
                let (me, you) = (usize::from(*second), usize::from(!*second));
                let (client, own, other) = (&clients[me], tenants[me], tenants[you]);
                async move { (me, *step, run(client, own, other, *step, id, *stateless).await) }
            });
            for (me, step, answer) in futures_util::future::join_all(runs).await {
                assert!(!answer.contains(secrets[1 - me]), "{step:?}: {answer}");
                match step {
                    Step::List | Step::Echo | Step::Prompts => assert!(answer.contains(secrets[me]), "{answer}"),
                    Step::ReadOwn => assert!(answer.contains(&format!("\"text\":\"{}\"", tenants[me])), "{answer}"),
                    Step::OtherTenantsTool => assert!(answer.contains("unknown tool"), "{answer}"),
                    Step::OtherTenantsResource => assert!(answer.contains("unknown resource"), "{answer}"),
                }
            }
            for tenant in tenants {
                let other_echoes = bench.server(tenant, tenant).calls_of("tools/call").len();
                let own = steps.iter().filter(|(second, step, _)| {
                    tenants[usize::from(*second)] == tenant && matches!(step, Step::Echo)
                }).count();
                assert_eq!(other_echoes, own);
            }
        });
    }
}

//! Personal data is kept out of contexts and memories, as each tenant's policy says.

use http::{Method, StatusCode};
use mcp_core::conformance::eventually;
use serde_json::{Value, json};

use crate::support::{Served, api::Caller, http::Answer};

const ADDRESS: &str = "ada@example.com";
const CARD: &str = "4111 1111 1111 1111";

async fn append(caller: &Caller, context: &str) -> Answer {
    let said = format!("Write to {ADDRESS}");
    let message = json!({ "role": "user", "content": said, "metadata": { "paid_by": CARD } });
    caller.post(&format!("/contexts/{context}/messages"), &json!({ "messages": [message] })).await
}

async fn patch(caller: &Caller, context: &str, version: i64) -> Answer {
    let patch = json!({ "data": { "mail": ADDRESS }, "expected_version": version });
    let attempt = caller.attempt(Method::PATCH, &format!("/contexts/{context}"));
    attempt.body(patch.to_string()).send().await
}

async fn remember(caller: &Caller, text: &str) -> Answer {
    caller.post("/memories", &json!({ "namespace": "user/u1", "text": text })).await
}

async fn recall(caller: &Caller, query: &str) -> Answer {
    caller.post("/memories/recall", &json!({ "namespace": "user/u1", "query": query })).await
}

fn personal(text: &str) -> bool {
    text.contains(ADDRESS) || text.contains("4111")
}

/// It says what is wrong with which field, and does not repeat it.
fn is_refused(answer: &Answer, field: &str, kind: &str) {
    let problem = answer.json();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{problem}");
    let said = problem.to_string();
    assert!(said.contains(field) && said.contains(kind) && !personal(&said), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_kept_out_of_contexts_and_memories() {
    let config = "[pii]\ncontexts = \"mask\"\nhash_key_file = \"hash.key\"\n\
                  tenants = { globex = \"off\", initech = \"refuse\", hooli = \"hash\" }\n";
    let mut served = Served::prepare(&json!({}), config);
    std::fs::write(served.path().join("hash.key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    served.run();
    let [acme, globex, initech, hooli] =
        ["acme", "globex", "initech", "hooli"].map(|tenant| Caller::new(&served, &served.tenant(tenant)));

    let context = acme.context().await;
    assert_eq!(append(&acme, &context).await.status, StatusCode::CREATED);
    assert_eq!(patch(&acme, &context, 2).await.json()["data"]["mail"], "[email]");
    let read = acme.get(&format!("/contexts/{context}")).await.json();
    let message = &read["data"]["conversation_history"][0];
    assert_eq!(message["content"], "Write to [email]", "{read}");
    assert_eq!(message["metadata"], json!({ "paid_by": "[card]" }), "{read}");
    let memory = remember(&acme, &format!("Her address is {ADDRESS}")).await.json();
    assert_eq!(memory["text"], "Her address is [email]", "{memory}");
    assert_eq!(recall(&acme, "address").await.json()["items"][0]["id"], memory["id"]);
    let told = eventually("the events are not published", || async {
        let events = acme.get("/events").await.json();
        assert!(!personal(&events.to_string()), "{events}");
        Ok(events["items"].as_array().is_some_and(|items| items.len() == 4))
    });
    told.await.unwrap_or_else(|failure| panic!("{failure}"));

    let context = globex.context().await;
    assert_eq!(append(&globex, &context).await.status, StatusCode::CREATED);
    let read = globex.get(&format!("/contexts/{context}")).await.json();
    assert_eq!(read["data"]["conversation_history"][0]["content"], format!("Write to {ADDRESS}"), "{read}");

    let context = initech.context().await;
    is_refused(&append(&initech, &context).await, "messages/0/content", "email");
    is_refused(&patch(&initech, &context, 1).await, "data", "email");
    is_refused(&remember(&initech, &format!("Paid with {CARD}")).await, "text", "card");
    is_refused(&recall(&initech, &format!("who paid with {CARD}?")).await, "query", "card");
    let read = initech.get(&format!("/contexts/{context}")).await.json();
    assert_eq!((&read["metadata"]["version"], &read["metadata"]["messages"]), (&json!(1), &json!(0)));

    // A hash is found by what it was made of.
    let texts: Vec<Value> = [
        remember(&hooli, &format!("One writes to {ADDRESS}")).await.json()["text"].clone(),
        remember(&hooli, "One writes to bob@example.com").await.json()["text"].clone(),
    ]
    .into();
    assert!(texts.iter().all(|text| text.as_str().unwrap().contains("[email_")), "{texts:?}");
    let found = recall(&hooli, &format!("who writes to {ADDRESS}?")).await.json();
    assert_eq!(found["items"][0]["text"], texts[0], "{found}");

    assert!(served.stop().success());
    for tenant in ["acme", "initech", "hooli", "globex"] {
        let files = std::fs::read_dir(served.path().join("mcp-platform-data/tenants")).unwrap();
        let of = files
            .map(|file| file.unwrap().path())
            .filter(|file| file.file_name().unwrap().to_string_lossy().starts_with(&format!("{tenant}.db")));
        let bytes: Vec<u8> = of.flat_map(|file| std::fs::read(file).unwrap()).collect();
        let holds = bytes.windows(ADDRESS.len()).any(|window| window == ADDRESS.as_bytes());
        assert_eq!(holds, tenant == "globex", "the file of {tenant}");
    }
}

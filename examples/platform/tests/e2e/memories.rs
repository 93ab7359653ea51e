//! Memories through the whole platform: recalled by their words, and by their meaning where there is a model.

use http::{Method, StatusCode};
use mcp_core::conformance::eventually;
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::{Caller, metrics},
    models,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_recalled_by_its_words_and_says_that_it_is_by_words_alone() {
    let mut served = Served::start(&json!({}), "");
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let (acme, globex) = (Caller::new(&served, &acme), Caller::new(&served, &globex));
    let remember = |text: &str| json!({ "namespace": "user/u1", "text": text });
    let made = acme.post("/memories", &remember("Prefers window seats on trains")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    acme.post("/memories", &remember("Is allergic to peanuts")).await;
    assert_eq!(acme.post("/memories", &remember("Is allergic to peanuts")).await.status, StatusCode::OK);
    let question = json!({ "namespace": "user/u1", "query": "Which seats on a train?" });
    let recalled = acme.post("/memories/recall", &question).await.json();
    assert_eq!(recalled["items"][0]["text"], "Prefers window seats on trains", "{recalled}");
    assert_eq!((recalled["semantic"].as_bool(), recalled["note"].is_string()), (Some(false), true));
    assert_eq!(globex.post("/memories/recall", &question).await.json()["items"], json!([]));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let theirs = globex.attempt(Method::DELETE, &format!("/memories/{id}")).send().await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let forgotten = acme.attempt(Method::DELETE, &format!("/memories/{id}")).send().await;
    assert_eq!(forgotten.status, StatusCode::NO_CONTENT);
    let recalled = acme.post("/memories/recall", &question).await.json();
    assert!(!recalled.to_string().contains("window seats"), "{recalled}");

    let metrics = metrics(&served).await;
    for (operation, outcome, count) in [
        ("remember", "new", 2),
        ("remember", "known", 1),
        ("recall", "by_words", 3),
        ("forget", "done", 1),
        ("forget", "refused", 1),
    ] {
        let line = format!(
            "mcp_memory_operations_total{{operation=\"{operation}\",outcome=\"{outcome}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert!(metrics.contains("mcp_memory_operation_seconds_bucket{operation=\"recall\",le="), "{metrics}");
    assert!(!metrics.contains("acme") && !metrics.contains("u1"), "a metric names a tenant or its namespace");
    assert!(served.stop().success());
}

fn texts(recalled: &Value) -> Vec<&str> {
    let items = recalled["items"].as_array().unwrap().iter();
    items.map(|item| item["text"].as_str().unwrap()).collect()
}

/// With the real model, over a restart, after which the vectors come from the database.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_recalled_by_its_meaning_without_a_common_word() {
    let config = format!("[inference]\nmodels_dir = {:?}\n", models());
    let mut served = Served::start(&json!({}), &config);
    let token = served.tenant("acme");
    let other = served.tenant("globex");
    let acme = Caller::new(&served, &token);
    for text in [
        "The patient must not eat peanuts",
        "Her train to Vienna leaves at noon",
        "He plays the violin in an orchestra",
        "The invoice was paid in March",
    ] {
        let made = acme.post("/memories", &json!({ "namespace": "user/u1", "text": text })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let questions = [
        ("which food allergies are known?", "The patient must not eat peanuts"),
        ("what musical instrument does someone practise?", "He plays the violin in an orchestra"),
        ("when does that railway journey begin?", "Her train to Vienna leaves at noon"),
    ];
    let ask = |query: &str| json!({ "namespace": "user/u1", "query": query, "limit": 2 });
    for round in 0..2 {
        let acme = Caller::new(&served, &token);
        for (query, nearest) in questions {
            let recalled = acme.post("/memories/recall", &ask(query)).await.json();
            assert_eq!(recalled["semantic"], true, "{recalled}");
            assert!(recalled.get("note").is_none(), "{recalled}");
            assert_eq!(texts(&recalled).first(), Some(&nearest), "{query} in round {round}: {recalled}");
        }
        let theirs = Caller::new(&served, &other).post("/memories/recall", &ask(questions[0].0)).await.json();
        assert_eq!((theirs["semantic"].as_bool(), texts(&theirs).len()), (Some(true), 0), "{theirs}");
        if round == 0 {
            assert!(served.stop().success());
            served.run();
        }
    }

    // What comes and goes after the index was built counts at once.
    let acme = Caller::new(&served, &token);
    let newer = json!({ "namespace": "user/u1", "text": "Shellfish makes the patient ill" });
    let newer = acme.post("/memories", &newer).await.json();
    let question = "which food allergies are known?";
    let recalled = acme.post("/memories/recall", &ask(question)).await.json();
    assert!(texts(&recalled).contains(&"Shellfish makes the patient ill"), "{recalled}");
    let path = format!("/memories/{}", newer["id"].as_str().unwrap());
    assert_eq!(acme.attempt(Method::DELETE, &path).send().await.status, StatusCode::NO_CONTENT);
    let recalled = acme.post("/memories/recall", &ask(question)).await.json();
    assert!(!texts(&recalled).contains(&"Shellfish makes the patient ill"), "{recalled}");
    assert!(served.stop().success());
}

/// Two replicas on the same data: what holds a tenant's vectors lets go of them in both, though one alone is told.
#[tokio::test(flavor = "multi_thread")]
async fn the_vectors_of_a_deleted_tenant_leave_every_replica() {
    let data = tempfile::tempdir().unwrap();
    let config = format!("[data]\ndir = {:?}\n[inference]\nmodels_dir = {:?}\n", data.path(), models());
    let mut replicas = [Served::start(&json!({}), &config), Served::start(&json!({}), &config)];
    let tokens = ["acme", "globex"].map(|tenant| replicas[0].tenant(tenant));
    let question = json!({ "namespace": "user/u1", "query": "which food allergies are known?" });
    for token in &tokens {
        let text = json!({ "namespace": "user/u1", "text": "The patient must not eat peanuts" });
        let made = Caller::new(&replicas[0], token).post("/memories", &text).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        for replica in &replicas {
            let recalled = Caller::new(replica, token).post("/memories/recall", &question).await.json();
            assert_eq!((&recalled["semantic"], texts(&recalled).len()), (&json!(true), 1), "{recalled}");
        }
    }
    replicas[0].command(&["tenant", "delete", "acme"]);
    for replica in &replicas {
        let forgotten = eventually("a replica holds vectors of a deleted tenant", || async {
            Ok(metrics(replica).await.contains("\nmcp_vector_indexes 1\n"))
        });
        forgotten.await.unwrap_or_else(|failure| panic!("{failure}"));
        let recalled = Caller::new(replica, &tokens[1]).post("/memories/recall", &question).await.json();
        assert_eq!(recalled["semantic"], true, "{recalled}");
    }
    // Restored, it is recalled by meaning as before.
    replicas[0].command(&["tenant", "restore", "acme"]);
    for replica in &replicas {
        let restored = eventually("a restored tenant's vectors are not compared", || async {
            let recalled = Caller::new(replica, &tokens[0]).post("/memories/recall", &question).await;
            Ok(recalled.status == StatusCode::OK && recalled.json()["semantic"] == true)
        });
        restored.await.unwrap_or_else(|failure| panic!("{failure}"));
    }
    assert!(replicas.iter_mut().all(|replica| replica.stop().success()));
}

/// Tests must see the same whatever the person who runs them keeps in his own folders.
#[tokio::test(flavor = "multi_thread")]
async fn a_developers_own_models_are_not_seen_by_tests() {
    let own = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(own.path().join("mcp-platform")).unwrap();
    std::os::unix::fs::symlink(models(), own.path().join("mcp-platform/models")).unwrap();
    let mut served = Served::prepare(&json!({}), "");
    served.run_with(&[("HOME", own.path())]);
    let acme = Caller::new(&served, &served.tenant("acme"));
    let question = json!({ "namespace": "user/u1", "query": "anything" });
    assert_eq!(acme.post("/memories/recall", &question).await.json()["semantic"], false);
    assert!(served.stop().success());

    // That folder is where the platform looks, if it is let.
    served.run_with(&[("XDG_CACHE_HOME", own.path())]);
    let acme = Caller::new(&served, &served.token("acme"));
    assert_eq!(acme.post("/memories/recall", &question).await.json()["semantic"], true);
    assert!(served.stop().success());
}

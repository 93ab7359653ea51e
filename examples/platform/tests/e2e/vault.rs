//! HashiCorp Vault's transit engine behind the whole platform, by a server that speaks its wire: what it wraps, and
//! what becomes of tenants while it is slow, down, lying or refusing.

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::{
    support::{
        Served,
        api::{Caller, metrics, ready},
        bounded::until,
        http::{Answer, Attempt},
    },
    transit::{FakeVault, Mood, NAMESPACE, TOKEN},
};

/// What a transit key of version 1 is called.
const FIRST: &str = "transit/platform:v1";
/// Within `[server]`: what waits asks more often than a person would.
const OPERATORS: &str = "operator_requests_per_minute = 1000000\n";

/// The section `[vault]`. Open keys go on for six seconds.
fn settings(vault: &FakeVault, further: &str) -> String {
    format!(
        "{OPERATORS}[vault]\nbackend = \"transit\"\naddress = {:?}\nkey = \"platform\"\nnamespace = {NAMESPACE:?}\n\
         token_file = \"vault.token\"\nttl_seconds = 1\nhold_seconds = 6\ntimeout_millis = 300\n{further}",
        vault.address()
    )
}

/// A platform whose tenant `acme` has a key. Tokens are signed with a key that a data key seals: to be granted one is
/// to unseal.
struct World {
    served: Served,
    key: Secret<String>,
    operator: Secret<String>,
}

impl World {
    fn start(config: &str) -> Self {
        let mut served = Served::prepare(&json!({}), config);
        std::fs::write(served.path().join("vault.token"), TOKEN).unwrap();
        served.run_logged(&[]);
        served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
        let key = served.command(&["key", "create", "acme", "--permission", "*"]);
        let key = Secret::new(key["key"].as_str().unwrap().to_owned());
        let operator = served.operator_key();
        Self { served, key, operator }
    }

    fn restart(&mut self) {
        assert!(self.served.stop().success());
        self.served.run();
    }

    async fn grant(&self) -> Answer {
        let attempt = Attempt::new(Method::POST, &self.served.api("/auth/token")).bearer(self.key.expose());
        attempt.body(json!({ "grant_type": "api_key" }).to_string()).send().await
    }

    /// A token, which must be granted.
    async fn token(&self) -> String {
        let granted = self.grant().await;
        assert_eq!(granted.status, StatusCode::OK, "{granted:?}");
        granted.json()["access_token"].as_str().unwrap().to_owned()
    }

    fn operator(&self) -> Caller {
        Caller::new(&self.served, &self.operator)
    }

    /// The names of the keys that wrap, and how many data keys each does.
    async fn wrapping(&self) -> Value {
        self.operator().get("/operator/data-keys").await.json()["wrapping_keys"].clone()
    }

    /// As `/ready` says it.
    async fn state(&self) -> String {
        ready(&self.served).await.json()["vault"]["state"].as_str().unwrap().to_owned()
    }

    async fn works(&self) {
        until("a token is granted again", async || {
            self.grant().await.status == StatusCode::OK && self.state().await == "up"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_wrapped_by_vault_and_opens_in_another_process_after_its_rotation() {
    let vault = FakeVault::start(true).await;
    let mut world = World::start(&settings(&vault, ""));
    let token = world.token().await;
    assert_eq!(Attempt::list(&world.served.url).bearer(&token).send().await.status, StatusCode::OK);
    assert_eq!(world.wrapping().await, json!([{ "name": FIRST, "data_keys": 1 }]));
    assert_eq!(world.state().await, "up");
    // Sealed once more, by the same data key.
    let caller = Caller::new(&world.served, &world.key);
    let rotated = caller.post("/signing-keys", &json!({ "lead_seconds": 5 })).await;
    assert_eq!(rotated.status, StatusCode::CREATED, "{rotated:?}");
    let wrapped = vault.seen().iter().filter(|line| line.contains("/encrypt/")).count();
    assert_eq!(wrapped, 1, "{:?}", vault.seen());

    world.restart();
    world.token().await;
    assert!(vault.seen().contains(&"POST /v1/transit/decrypt/platform".to_owned()), "{:?}", vault.seen());
    let figures = metrics(&world.served).await;
    for counted in
        ["mcp_key_vault_up 1", "mcp_key_vault_requests_total{operation=\"unwrap\",result=\"ok\"} 1"]
    {
        assert!(figures.contains(counted), "{counted} is not in {figures}");
    }

    vault.rotate();
    let again = world.operator().post("/operator/data-keys/rewrap", &json!({})).await.json();
    assert_eq!((&again["rewrapped"], &again["failed"]), (&json!(1), &json!([])), "{again}");
    assert_eq!(world.wrapping().await, json!([{ "name": "transit/platform:v2", "data_keys": 1 }]));
    vault.cut_back_to(2);
    world.restart();
    world.token().await;
}

/// What is open goes on for the stated time, then it is closed; when the vault is back it opens.
async fn held_then_closed(world: &World, vault: &FakeVault, mood: Mood) {
    world.works().await;
    let token = world.token().await;
    vault.becomes(mood);
    let mut held = 0;
    until("what was open closes", async || {
        let was_away = world.state().await == "away";
        let granted = world.grant().await;
        let is_open = granted.status == StatusCode::OK;
        assert!(is_open || granted.status.is_server_error(), "{mood:?}: {granted:?}");
        held += u32::from(was_away && is_open);
        !is_open
    })
    .await;
    assert!(held > 0, "{mood:?}: it was closed at once");
    let ready = ready(&world.served).await;
    assert_eq!((ready.status, &ready.json()["ready"]), (StatusCode::OK, &json!(true)), "{mood:?}");
    let state = ready.json()["vault"].clone();
    assert_eq!((&state["state"], &state["hold_seconds"]), (&json!("away"), &json!(6)), "{mood:?}: {state}");
    assert!(state["failure"].is_string(), "{mood:?}: {state}");
    let figures = metrics(&world.served).await;
    assert!(figures.contains("mcp_key_vault_up 0"), "{mood:?}: {figures}");
    assert!(figures.contains("mcp_data_keys_held_total"), "{mood:?}: {figures}");
    // What needs no sealed key goes on: to verify a token takes its public half.
    for credential in [token.as_str(), world.key.expose()] {
        let list = Attempt::list(&world.served.url).bearer(credential).send().await;
        assert_eq!(list.status, StatusCode::OK, "{mood:?}: {list:?}");
    }
    vault.becomes(Mood::Well);
    world.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_slow_down_or_sealed_leaves_open_what_was_for_the_stated_time() {
    let vault = FakeVault::start(false).await;
    let world = World::start(&settings(&vault, ""));
    for mood in [Mood::Slow, Mood::HangsUp, Mood::Sealed] {
        held_then_closed(&world, &vault, mood).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_lying_vault_says_opens_or_seals_anything() {
    let vault = FakeVault::start(false).await;
    let mut world = World::start(&settings(&vault, ""));
    world.token().await;
    // Nothing is open in a new process.
    vault.becomes(Mood::Html);
    world.restart();
    for mood in [
        Mood::Html,
        Mood::OtherJson,
        Mood::Oversized,
        Mood::Redirects,
        Mood::ShortPlaintext,
        Mood::LongPlaintext,
        Mood::NoBase64,
        Mood::AnotherPlace,
        Mood::TooOld,
    ] {
        vault.becomes(mood);
        let before = vault.seen().len();
        until("the vault is asked again", async || {
            let granted = world.grant().await;
            assert!(!granted.status.is_success(), "{mood:?}: {granted:?}");
            assert!(!String::from_utf8_lossy(&granted.body).contains("vault:v1"), "{mood:?}: {granted:?}");
            vault.seen().len() > before
        })
        .await;
        assert_eq!(world.state().await, "away", "{mood:?}");
    }
    let rotate = async || world.operator().post("/operator/tenants/acme/data-keys/rotate", &json!({})).await;
    for mood in [Mood::Html, Mood::OtherJson, Mood::WrongCiphertext] {
        vault.becomes(mood);
        let refused = rotate().await;
        assert!(refused.status.is_server_error(), "{mood:?}: {refused:?}");
    }
    vault.becomes(Mood::Well);
    world.works().await;
    // None of what was refused was kept.
    assert_eq!(rotate().await.json()["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_refuses_closes_what_is_open_and_a_renewed_token_opens_it_without_a_restart() {
    let vault = FakeVault::start(false).await;
    let world = World::start(&settings(&vault, ""));
    let renew = |token: &str| std::fs::write(world.served.path().join("vault.token"), token).unwrap();
    let closes = async |status: StatusCode| {
        until("what was open closes", async || !world.grant().await.status.is_success()).await;
        // What the vault says of the platform is no matter of who asks for a token.
        let refused = world.grant().await;
        let said = String::from_utf8_lossy(&refused.body);
        assert!(refused.status == status && !said.contains("vault refuses"), "{refused:?}");
        assert_eq!(world.state().await, "refusing");
        assert!(metrics(&world.served).await.contains("mcp_key_vault_up 0"));
    };
    world.works().await;
    vault.renew_token("hvs.second");
    closes(StatusCode::SERVICE_UNAVAILABLE).await;
    // A refusal is no outage: nothing is held.
    let figures = metrics(&world.served).await;
    assert!(!figures.contains("mcp_data_keys_held_total"), "{figures}");
    renew("hvs.second\n");
    world.works().await;

    for (mood, status) in
        [(Mood::Forbids, StatusCode::SERVICE_UNAVAILABLE), (Mood::NoSuchKey, StatusCode::NOT_FOUND)]
    {
        vault.becomes(mood);
        closes(status).await;
        vault.becomes(Mood::Well);
        world.works().await;
    }
    // What is no token is not taken in place of one that is.
    for none in ["", "two\nlines"] {
        let before = world.served.log().matches("was not read again").count();
        renew(none);
        until("the file is read again", async || {
            world.served.log().matches("was not read again").count() > before
        })
        .await;
        world.works().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_keys_move_from_the_master_key_to_vault_while_what_they_seal_stays_open() {
    let vault = FakeVault::start(false).await;
    let mut world = World::start(OPERATORS);
    world.token().await;
    let of_master = world.wrapping().await;
    assert!(of_master[0]["name"].as_str().unwrap().starts_with("master:"), "{of_master}");

    world.served.configure(&settings(&vault, "earlier = \"master_key\"\n"));
    world.restart();
    world.token().await;
    assert_eq!(world.wrapping().await, of_master, "it was moved unasked");
    let moved = world.operator().post("/operator/data-keys/rewrap", &json!({})).await.json();
    assert_eq!((&moved["rewrapped"], &moved["failed"]), (&json!(1), &json!([])), "{moved}");
    assert_eq!(world.wrapping().await, json!([{ "name": FIRST, "data_keys": 1 }]));

    world.served.configure(&settings(&vault, ""));
    world.restart();
    world.token().await;
    // The master key alone opens it no more.
    world.served.configure(OPERATORS);
    world.restart();
    let refused = world.grant().await;
    assert!(!refused.status.is_success(), "{refused:?}");
}

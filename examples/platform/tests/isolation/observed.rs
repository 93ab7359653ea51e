//! All that a tenant can observe, and whether it is what it was.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use mcp_core::{
    audit::{self, AuditQuery},
    conformance::eventually,
};
use serde_json::{Value, json};

use crate::world::{Answer, Call, Caller, World};

/// Headers that tell the time: they are held against [`Bucket`] instead of being compared.
const OF_THE_TIME: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("retry-after"),
];
/// In everything the observed tenant writes, and so in nothing that others may receive.
pub(crate) const MARKER: &str = "<<only the observed>>";
/// A policy in Cedar that leaves everything to permissions, and one that forbids a tool.
pub(crate) const PERMIT: &str = "permit (principal, action, resource) when { context.permitted };";
pub(crate) const FORBID: &str = "permit (principal, action, resource) when { context.permitted };\n\
     forbid (principal, action == Mcp::Action::\"tools:call\", resource);";
/// A context that nobody has.
const NOBODYS: &str = "01890000-0000-7000-8000-000000000000";

/// What a limit of so many requests a minute must say to the one who alone uses it, as GCRA counts: bounds,
/// since the moment of a decision is known only to lie between a request and its answer.
#[derive(Debug)]
pub(crate) struct Bucket {
    origin: Instant,
    burst: f64,
    interval: f64,
    /// When the whole burst may be made again: at the earliest, at the latest.
    full_at: [f64; 2],
}

impl Bucket {
    /// Requests a minute of the tenant that is watched: it asks for less than that in a case.
    pub(crate) const OF_THE_OBSERVED: u32 = 300;

    pub(crate) fn new(per_minute: u32) -> Self {
        let burst = f64::from(per_minute);
        Self { origin: Instant::now(), burst, interval: 60.0 / burst, full_at: [0.0; 2] }
    }

    /// Takes one; `remaining` is what the limit said.
    pub(crate) fn take(&mut self, began: Instant, answered: Instant, remaining: u64) -> Result<(), String> {
        let [began, answered] = [began, answered].map(|at| (at - self.origin).as_secs_f64());
        let [earliest, latest] = self.full_at;
        self.full_at = [earliest.max(began) + self.interval, latest.max(answered) + self.interval];
        let left = |ahead: f64| (self.burst - ahead / self.interval).max(0.0);
        let at_least = left((latest - began).max(0.0) + self.interval) - 1e-4;
        let at_most = left((earliest - answered).max(0.0) + self.interval) + 1e-4;
        let said = remaining as f64;
        match at_least.floor() <= said && said <= at_most {
            true => Ok(()),
            false => Err(format!("the limit says {said} where {at_least} to {at_most} are left")),
        }
    }
}

/// A tenant that is watched: what it has, and what the other has that it may try to reach.
pub(crate) struct Observed {
    caller: Caller,
    pub(crate) context: String,
    pub(crate) memory: String,
    pub(crate) key: String,
    pub(crate) session: String,
    /// A token of its own, its id, and the key that signed it.
    token: String,
    pub(crate) token_id: String,
    pub(crate) signing_key: String,
    /// Ids of the other tenant, and its name.
    others: Others,
    /// Refusals of the tenant boundary and of permissions that it has met, each one record in its chain.
    refused: AtomicUsize,
}

/// What the tenant that acts had before it began.
#[derive(Debug, Clone)]
pub(crate) struct Others {
    pub(crate) tenant: String,
    pub(crate) context: String,
    pub(crate) key: String,
}

/// One answer without what may differ from moment to moment.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    what: &'static str,
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: String,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View(Vec<Seen>);

impl Observed {
    /// Sets a new tenant up: one of everything.
    pub(crate) async fn set_up(world: &World, caller: Caller, others: Others) -> Self {
        let context = caller.send(creation()).await;
        assert_eq!(context.status, StatusCode::CREATED, "{context:?}");
        let context = context.json()["context_id"].as_str().unwrap().to_owned();
        let mut memory = String::new();
        for text in ["Prefers window seats on trains", "Is allergic to peanuts, not to almonds"] {
            let made = caller.send(remembering(text)).await;
            assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
            memory = made.json()["id"].as_str().unwrap().to_owned();
        }
        let key = json!({ "name": "second", "principal": "robot", "permissions": ["tools:list"] });
        let key = caller.send(Call::post("/api/v1/keys", &key)).await;
        assert_eq!(key.status, StatusCode::CREATED, "{key:?}");
        let key = key.json()["id"].as_str().unwrap().to_owned();
        let governed = caller.govern("editor", PERMIT).await;
        assert_eq!(governed.status, StatusCode::OK, "{governed:?}");
        let issued = caller.send(Call::post("/api/v1/auth/token", &json!({ "grant_type": "api_key" }))).await;
        assert_eq!(issued.status, StatusCode::OK, "{issued:?}");
        let token = issued.json()["access_token"].as_str().unwrap().to_owned();
        let token_id = claim(&token, 1, "jti");
        let signing_key = claim(&token, 0, "kid");
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "0" },
        });
        let opened = caller.send(Call::session(None, "initialize", &hello)).await;
        let session = opened.headers["mcp-session-id"].to_str().unwrap().to_owned();
        // The last change: once its event is published, all are.
        let appended = caller.send(appending(&context)).await;
        assert_eq!(appended.status, StatusCode::CREATED, "{appended:?}");
        let observed = Self {
            caller,
            context,
            memory,
            key,
            session,
            token,
            token_id,
            signing_key,
            others,
            refused: Default::default(),
        };
        observed.published(world).await;
        observed
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.caller.tenant
    }

    /// Asks for everything. `Err` says which limit was not this tenant's alone.
    pub(crate) async fn look(&self) -> Result<View, String> {
        let mut view = Vec::new();
        for (what, call) in self.calls() {
            let answer = self.ask(what, call).await?;
            view.push(Seen::of(what, &answer));
        }
        let with_token = self.caller.send_as(&self.token, Call::get("/api/v1/contexts")).await;
        with_token.limit.clone().map_err(|wrong| format!("its token: {wrong}"))?;
        view.push(Seen::of("its token", &with_token));
        // Not this tenant's, but the answer to a stranger: it must not depend on what others do either.
        let stranger = self.caller.send_as("mcpk_of_nobody", Call::get("/api/v1/contexts")).await;
        view.push(Seen::of("a stranger", &stranger));
        Ok(View(view))
    }

    /// Its audit chain, once every refusal it has met is written.
    pub(crate) async fn audit(&self, world: &World) -> Result<View, String> {
        let scope = world.scope(&self.caller.tenant);
        let query = AuditQuery { limit: 500, ..AuditQuery::default() };
        let written = eventually("there is not one record for each refusal", || async {
            let page = audit::list(&*world.platform.administration().audit(), &scope, &query).await?;
            let denied = page.records.iter().filter(|record| record.outcome == "denied").count();
            Ok(denied == self.refused.load(Ordering::Relaxed))
        });
        written.await.map_err(|failure| failure.to_string())?;
        let answer = self.ask("audit", Call::get("/api/v1/audit?limit=500")).await?;
        Ok(View(vec![Seen::of("audit", &answer)]))
    }

    /// Goes on with its own work: what is numbered must go on where it was, whoever did what meanwhile.
    pub(crate) async fn goes_on(&self, world: &World) -> Result<(), String> {
        let scope = world.scope(&self.caller.tenant);
        let feed = world.platform.feed();
        let newest = feed.newest(&scope).await.map_err(|error| error.report())?;
        let messages = json!({ "messages": [{ "role": "user", "content": MARKER }] });
        let path = format!("/api/v1/contexts/{}/messages", self.context);
        let appended = self.ask("appending", Call::post(path, &messages)).await?;
        let expected = json!({ "version": 3, "first_seq": 2, "last_seq": 2 });
        if appended.status != StatusCode::CREATED || appended.json() != expected {
            return Err(format!("the next message should be {expected} and is {appended:?}"));
        }
        let published = eventually("the event of the last message is not published", || async {
            Ok(feed.newest(&scope).await? > newest)
        });
        published.await.map_err(|failure| failure.to_string())?;
        let next = feed.newest(&scope).await.map_err(|error| error.report())?;
        if next != newest + 1 {
            return Err(format!("the event behind number {newest} has number {next}"));
        }
        let draft = json!({ "language": "cedar", "text": PERMIT });
        let made = self.ask("a policy", Call::post("/api/v1/policies", &draft)).await?;
        if made.status != StatusCode::CREATED || made.json()["version"] != 2 {
            return Err(format!("the next policy should have version 2 and is {made:?}"));
        }
        Ok(())
    }

    /// The lines of metrics that name it, or anything of it.
    pub(crate) fn metrics(&self, world: &World) -> Vec<String> {
        let names = [&self.caller.tenant, &self.context, &self.memory, &self.key, &self.session];
        let text = world.metrics();
        let lines = text.lines().filter(|line| names.iter().any(|name| line.contains(name.as_str())));
        lines.map(str::to_owned).collect()
    }

    async fn ask(&self, what: &str, call: Call) -> Result<Answer, String> {
        let answer = self.caller.send(call).await;
        answer.limit.clone().map_err(|wrong| format!("{what}: {wrong}"))?;
        if answer.status == StatusCode::FORBIDDEN {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    async fn published(&self, world: &World) {
        let (feed, scope) = (world.platform.feed(), world.scope(&self.caller.tenant));
        let published = eventually("the event of the last change is not published", || async {
            let events = feed.after(&scope, 0, 100).await?;
            Ok(events.iter().any(|item| item.event.kind().ends_with("context.updated")))
        });
        published.await.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// What it asks: its own, what is not there, what is another's, and what is wrong. Nothing changes anything.
    fn calls(&self) -> Vec<(&'static str, Call)> {
        let (Others { tenant, context: theirs, key: their_key }, own) = (&self.others, &self.context);
        let contexts = "/api/v1/contexts";
        let stale = json!({ "data": { "x": 1 }, "expected_version": 1 });
        let recall = |query: &str| {
            Call::post("/api/v1/memories/recall", &json!({ "namespace": "user/u1", "query": query }))
        };
        let question =
            json!({ "action": "tools:call", "resource": { "type": "tool", "id": "fixture__echo" } });
        vec![
            ("contexts", Call::get(contexts)),
            ("contexts of a session", Call::get(format!("{contexts}?session_id=s1&limit=1"))),
            ("a context", Call::get(format!("{contexts}/{own}"))),
            ("messages", Call::get(format!("{contexts}/{own}/messages"))),
            ("a context of nobody", Call::get(format!("{contexts}/{NOBODYS}"))),
            ("a context of another", Call::get(format!("{contexts}/{theirs}"))),
            ("creating again", creation()),
            ("appending again", appending(own)),
            ("a stale patch", Call::new(Method::PATCH, format!("{contexts}/{own}")).body(stale.to_string())),
            ("remembering again", remembering("Prefers window seats on trains")),
            ("recalling", recall("window seats or peanuts")),
            // One word of each memory: only how rare it is could put the longer one first.
            ("recalling what is as rare", recall("window, peanuts")),
            ("recalling one word", recall("peanuts")),
            ("metrics", Call::get("/metrics")),
            ("keys", Call::get("/api/v1/keys")),
            ("a key of another", Call::new(Method::DELETE, format!("/api/v1/keys/{their_key}"))),
            ("the tenant", Call::get(format!("/api/v1/tenants/{}", self.caller.tenant))),
            ("another tenant", Call::get(format!("/api/v1/tenants/{tenant}"))),
            ("another tenant's header", Call::get(contexts).header("x-tenant-id", tenant)),
            ("roles", Call::get("/api/v1/roles")),
            ("its roles", Call::get("/api/v1/principals/robot/roles")),
            ("policies", Call::get("/api/v1/policies")),
            ("the active policy", Call::get("/api/v1/policies/active")),
            ("a decision", Call::post("/api/v1/policies/decide", &question)),
            ("quotas", Call::get("/api/v1/quotas")),
            ("signing keys", Call::get("/api/v1/signing-keys")),
            ("issuers", Call::get("/api/v1/issuers")),
            ("certificates", Call::get("/api/v1/certificates")),
            ("servers", Call::get("/api/v1/servers")),
            ("events", Call::get("/api/v1/events")),
            ("models", Call::get("/v1/models")),
            ("no such path", Call::get("/api/v1/nothing")),
            ("bad JSON", Call::new(Method::POST, contexts).body("{")),
            ("tools", Call::mcp("tools/list", json!({}))),
            (
                "a tool",
                Call::mcp(
                    "tools/call",
                    json!({ "name": "fixture__echo", "arguments": { "message": MARKER } }),
                ),
            ),
            ("no such tool", Call::mcp("tools/call", json!({ "name": "fixture__none", "arguments": {} }))),
            ("tools in the session", Call::session(Some(&self.session), "tools/list", &json!({}))),
        ]
    }
}

impl Seen {
    fn of(what: &'static str, answer: &Answer) -> Self {
        let timeless = |headers: &HeaderMap| {
            let kept = headers.iter().filter(|(name, _)| !OF_THE_TIME.contains(name));
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let mut kept: Vec<_> = kept.map(|(name, value)| (name.to_string(), text(value))).collect();
            kept.sort();
            kept
        };
        let (mut headers, mut body) = (timeless(&answer.headers), answer.text());
        if what == "keys" && answer.status.is_success() {
            body = without_last_use(answer.json());
            headers.retain(|(name, _)| name != "content-length");
        }
        Self { what, status: answer.status, headers, body }
    }
}

/// When keys were last used is written once a minute, whenever that is.
fn without_last_use(mut keys: Value) -> String {
    for key in keys["items"].as_array_mut().unwrap() {
        key["last_used_at"] = Value::Null;
    }
    keys.to_string()
}

impl View {
    /// The first thing that is not what it was.
    pub(crate) fn difference(&self, later: &Self) -> Option<String> {
        let changed = self.0.iter().zip(&later.0).find(|(before, after)| before != after);
        changed.map(|(before, after)| format!("{} was\n{before:?}\nand is\n{after:?}", before.what))
    }
}

/// A claim of a token: of its head (0) or its payload (1).
fn claim(token: &str, part: usize, name: &str) -> String {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(part).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&part).unwrap()[name].as_str().unwrap().to_owned()
}

fn creation() -> Call {
    let new = json!({ "user_id": "u1", "session_id": "s1", "data": { "plan": MARKER } });
    Call::post("/api/v1/contexts", &new).header("idempotency-key", "key-0")
}

fn appending(context: &str) -> Call {
    let messages = json!({ "messages": [{ "role": "user", "content": MARKER }] });
    Call::post(format!("/api/v1/contexts/{context}/messages"), &messages).header("idempotency-key", "key-1")
}

fn remembering(text: &str) -> Call {
    let new = json!({ "namespace": "user/u1", "text": text, "metadata": { "mark": MARKER } });
    Call::post("/api/v1/memories", &new)
}

#[test]
fn a_limit_that_others_use_too_is_found_out() {
    let mut bucket = Bucket::new(60);
    let now = Instant::now();
    for remaining in (57..60).rev() {
        bucket.take(now, now, remaining).unwrap();
    }
    let later = now + std::time::Duration::from_millis(1_500);
    bucket.take(later, later, 57).unwrap();
    assert!(bucket.take(later, later, 55).is_err(), "one more was taken than there were requests");
}

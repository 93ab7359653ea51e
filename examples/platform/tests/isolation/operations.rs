//! What a tenant may do, and what it may try to.

use http::{Method, StatusCode};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use crate::{
    observed::{FORBID, MARKER, Observed, Others, PERMIT},
    world::{Answer, Call, Caller},
};

/// Requests of a flood: more than the limit lets through at once.
pub(crate) const FLOOD: usize = 100;
/// Requests a minute of the tenant that acts.
pub(crate) const LIMIT: u32 = 90;

/// One operation of the tenant that acts.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Create {
        key: Option<u8>,
        text: String,
    },
    Append {
        which: Index,
        key: Option<u8>,
        text: String,
    },
    Patch {
        which: Index,
        text: String,
    },
    Delete {
        which: Index,
    },
    Read {
        which: Index,
    },
    List(Listed),
    Remember(About, String),
    Forget {
        which: Index,
    },
    Recall(String),
    MakeKey,
    RevokeKey {
        which: Index,
    },
    Tool(String),
    /// Roles and policies; the policy may forbid a tool.
    Govern {
        forbid: bool,
    },
    /// Ends every token it has, and signs with another key from now on.
    EndTokens,
    RotateKey,
    /// Something of the observed tenant's, by its id.
    Reach(Reach),
    Malformed(Malformed),
    Flood,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Listed {
    Contexts,
    Keys,
    Servers,
    Events,
    Audit,
    Tools,
    Models,
    Policies,
    Roles,
    Quotas,
}

/// Words that the observed tenant's memories have, too: each of them in one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    Windows,
    Peanuts,
    Both,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    ReadContext,
    PatchContext,
    AppendToContext,
    DeleteContext,
    ForgetMemory,
    RevokeKey,
    ReadTenant,
    NameTenant,
    UseSession,
    EndSession,
    RevokeToken,
    EndCredentials,
    RemoveSigningKey,
    GiveRole,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Malformed {
    Json,
    Field,
    Path,
    Tool,
    Credential,
    Large,
    Cursor,
}

/// Any operation; floods are rare, since little gets through after one.
pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let text = || "[ -~]{1,60}";
    let key = || prop::option::of(0_u8..3);
    let listed = prop::sample::select(vec![
        Listed::Contexts,
        Listed::Keys,
        Listed::Servers,
        Listed::Events,
        Listed::Audit,
        Listed::Tools,
        Listed::Models,
        Listed::Policies,
        Listed::Roles,
        Listed::Quotas,
    ]);
    let about = prop::sample::select(vec![About::Windows, About::Windows, About::Peanuts, About::Both]);
    let reach = prop::sample::select(vec![
        Reach::ReadContext,
        Reach::PatchContext,
        Reach::AppendToContext,
        Reach::DeleteContext,
        Reach::ForgetMemory,
        Reach::RevokeKey,
        Reach::ReadTenant,
        Reach::NameTenant,
        Reach::UseSession,
        Reach::EndSession,
        Reach::RevokeToken,
        Reach::EndCredentials,
        Reach::RemoveSigningKey,
        Reach::GiveRole,
    ]);
    let malformed = prop::sample::select(vec![
        Malformed::Json,
        Malformed::Field,
        Malformed::Path,
        Malformed::Tool,
        Malformed::Credential,
        Malformed::Large,
        Malformed::Cursor,
    ]);
    prop_oneof![
        4 => (key(), text()).prop_map(|(key, text)| Operation::Create { key, text }),
        4 => (any::<Index>(), key(), text())
            .prop_map(|(which, key, text)| Operation::Append { which, key, text }),
        3 => (any::<Index>(), text()).prop_map(|(which, text)| Operation::Patch { which, text }),
        2 => any::<Index>().prop_map(|which| Operation::Delete { which }),
        1 => any::<Index>().prop_map(|which| Operation::Read { which }),
        3 => listed.prop_map(Operation::List),
        5 => (about, text()).prop_map(|(about, text)| Operation::Remember(about, text)),
        1 => any::<Index>().prop_map(|which| Operation::Forget { which }),
        1 => text().prop_map(Operation::Recall),
        2 => Just(Operation::MakeKey),
        1 => any::<Index>().prop_map(|which| Operation::RevokeKey { which }),
        3 => text().prop_map(Operation::Tool),
        1 => any::<bool>().prop_map(|forbid| Operation::Govern { forbid }),
        1 => Just(Operation::EndTokens),
        1 => Just(Operation::RotateKey),
        8 => reach.prop_map(Operation::Reach),
        4 => malformed.prop_map(Operation::Malformed),
        1 => Just(Operation::Flood),
    ]
}

/// The tenant that acts, and what it has made.
pub(crate) struct Actor {
    caller: Caller,
    contexts: Vec<String>,
    keys: Vec<String>,
    memories: Vec<String>,
}

impl Actor {
    /// One with a context, a key and a memory.
    pub(crate) async fn set_up(caller: Caller) -> Self {
        let mut actor = Self { caller, contexts: Vec::new(), keys: Vec::new(), memories: Vec::new() };
        actor.create(None, "first").await;
        actor.make_key().await;
        actor.remember(About::Both, "first").await;
        actor
    }

    /// What others may try to reach of it.
    pub(crate) fn others(&self) -> Others {
        let (tenant, context, key) =
            (self.caller.tenant.clone(), self.contexts[0].clone(), self.keys[0].clone());
        Others { tenant, context, key }
    }

    /// Does it. `Err` says what no answer may be: a defect, or a byte of the observed tenant's.
    pub(crate) async fn act(&mut self, operation: &Operation, observed: &Observed) -> Result<(), String> {
        let answer = match operation {
            Operation::Create { key, text } => self.create(*key, text).await,
            Operation::Append { which, key, text } => {
                let path = format!("/api/v1/contexts/{}/messages", which.get(&self.contexts));
                let messages = json!({ "messages": [{ "role": "user", "content": text }] });
                self.caller.send(keyed(Call::post(path, &messages), *key)).await
            }
            Operation::Patch { which, text } => {
                let path = format!("/api/v1/contexts/{}", which.get(&self.contexts));
                self.caller.send(patch(path, text)).await
            }
            Operation::Delete { which } => {
                let path = format!("/api/v1/contexts/{}", which.get(&self.contexts));
                self.caller.send(Call::new(Method::DELETE, path)).await
            }
            Operation::Read { which } => {
                let path = format!("/api/v1/contexts/{}", which.get(&self.contexts));
                self.caller.send(Call::get(path)).await
            }
            Operation::List(listed) => self.caller.send(list(*listed)).await,
            Operation::Remember(about, text) => self.remember(*about, text).await,
            Operation::Forget { which } => {
                let path = format!("/api/v1/memories/{}", which.get(&self.memories));
                self.caller.send(Call::new(Method::DELETE, path)).await
            }
            Operation::Recall(text) => {
                let recall = json!({ "namespace": "user/u1", "query": format!("window seats {text}") });
                self.caller.send(Call::post("/api/v1/memories/recall", &recall)).await
            }
            Operation::MakeKey => self.make_key().await,
            Operation::RevokeKey { which } => {
                let path = format!("/api/v1/keys/{}", which.get(&self.keys));
                self.caller.send(Call::new(Method::DELETE, path)).await
            }
            Operation::Tool(text) => {
                let params = json!({ "name": "fixture__echo", "arguments": { "message": text } });
                self.caller.send(Call::mcp("tools/call", params)).await
            }
            Operation::Govern { forbid } => {
                self.caller.govern("editor", if *forbid { FORBID } else { PERMIT }).await
            }
            Operation::EndTokens => {
                self.caller.send(Call::post("/api/v1/tokens/revoke-all", &json!({}))).await
            }
            Operation::RotateKey => self.caller.send(Call::post("/api/v1/signing-keys", &json!({}))).await,
            Operation::Reach(reach) => self.caller.send(reaching(*reach, observed)).await,
            Operation::Malformed(malformed) => self.malformed(*malformed).await,
            Operation::Flood => {
                let mut last = self.caller.send(Call::get("/api/v1/servers")).await;
                for _ in 1..FLOOD {
                    last = self.caller.send(Call::get("/api/v1/servers")).await;
                }
                last
            }
        };
        if answer.status.is_server_error() {
            return Err(format!("{operation:?} met a defect: {answer:?}"));
        }
        if answer.text().contains(MARKER) {
            return Err(format!("{operation:?} shows what is the observed tenant's: {answer:?}"));
        }
        Ok(())
    }

    async fn create(&mut self, key: Option<u8>, text: &str) -> Answer {
        let new = json!({ "user_id": "u1", "session_id": "s1", "data": { "plan": text } });
        let made = self.caller.send(keyed(Call::post("/api/v1/contexts", &new), key)).await;
        if made.status == StatusCode::CREATED {
            self.contexts.push(made.json()["context_id"].as_str().unwrap().to_owned());
        }
        made
    }

    async fn remember(&mut self, about: About, text: &str) -> Answer {
        let about = match about {
            About::Windows => "window seats",
            About::Peanuts => "peanuts",
            About::Both => "window seats, peanuts",
        };
        let new = json!({ "namespace": "user/u1", "text": format!("{about}: {text}") });
        let made = self.caller.send(Call::post("/api/v1/memories", &new)).await;
        if made.status == StatusCode::CREATED {
            self.memories.push(made.json()["id"].as_str().unwrap().to_owned());
        }
        made
    }

    async fn make_key(&mut self) -> Answer {
        let new = json!({ "name": "more", "principal": "robot", "permissions": ["tools:list"] });
        let made = self.caller.send(Call::post("/api/v1/keys", &new)).await;
        if made.status == StatusCode::CREATED {
            self.keys.push(made.json()["id"].as_str().unwrap().to_owned());
        }
        made
    }

    async fn malformed(&self, malformed: Malformed) -> Answer {
        let contexts = "/api/v1/contexts";
        let call = match malformed {
            Malformed::Json => Call::new(Method::POST, contexts).body("{\"data\": [}"),
            Malformed::Field => Call::post(contexts, &json!({ "dta": {} })),
            Malformed::Path => Call::get(format!("{contexts}/..%2f..%2ftenants")),
            Malformed::Tool => Call::mcp("tools/call", json!({ "name": "no__such", "arguments": {} })),
            Malformed::Large => Call::post(contexts, &json!({ "data": { "x": "y".repeat(300_000) } })),
            Malformed::Cursor => Call::get(format!("{contexts}?cursor=AAAA")),
            Malformed::Credential => return self.caller.send_as("mcpk_0_0", Call::get(contexts)).await,
        };
        self.caller.send(call).await
    }
}

fn list(listed: Listed) -> Call {
    match listed {
        Listed::Contexts => Call::get("/api/v1/contexts?session_id=s1"),
        Listed::Keys => Call::get("/api/v1/keys"),
        Listed::Servers => Call::get("/api/v1/servers"),
        Listed::Events => Call::get("/api/v1/events"),
        Listed::Audit => Call::get("/api/v1/audit"),
        Listed::Tools => Call::mcp("tools/list", json!({})),
        Listed::Models => Call::get("/v1/models"),
        Listed::Policies => Call::get("/api/v1/policies"),
        Listed::Roles => Call::get("/api/v1/roles"),
        Listed::Quotas => Call::get("/api/v1/quotas"),
    }
}

fn reaching(reach: Reach, observed: &Observed) -> Call {
    let context = format!("/api/v1/contexts/{}", observed.context);
    match reach {
        Reach::ReadContext => Call::get(context),
        Reach::PatchContext => patch(context, "taken over"),
        Reach::AppendToContext => {
            let messages = json!({ "messages": [{ "role": "user", "content": "taken over" }] });
            Call::post(format!("{context}/messages"), &messages)
        }
        Reach::DeleteContext => Call::new(Method::DELETE, context),
        Reach::ForgetMemory => Call::new(Method::DELETE, format!("/api/v1/memories/{}", observed.memory)),
        Reach::RevokeKey => Call::new(Method::DELETE, format!("/api/v1/keys/{}", observed.key)),
        Reach::ReadTenant => Call::get(format!("/api/v1/tenants/{}", observed.tenant())),
        Reach::NameTenant => Call::get("/api/v1/contexts").header("x-tenant-id", observed.tenant()),
        Reach::UseSession => Call::session(Some(&observed.session), "tools/list", &json!({})),
        // Ids are looked up within one's own tenant: what has this id elsewhere must not end.
        Reach::RevokeToken => Call::post("/api/v1/tokens/revoke", &json!({ "id": observed.token_id })),
        // Both have a principal of this name.
        Reach::EndCredentials => Call::new(Method::DELETE, "/api/v1/principals/robot/credentials"),
        Reach::RemoveSigningKey => {
            Call::new(Method::DELETE, format!("/api/v1/signing-keys/{}", observed.signing_key))
        }
        Reach::GiveRole => Call::new(Method::PUT, "/api/v1/principals/robot/roles/editor"),
        Reach::EndSession => Call::new(Method::DELETE, "/mcp")
            .header("mcp-session-id", &observed.session)
            .header("mcp-protocol-version", "2025-11-25"),
    }
}

fn patch(path: String, text: &str) -> Call {
    let patch: Value = json!({ "data": { "plan": text }, "expected_version": 2 });
    Call::new(Method::PATCH, path).body(patch.to_string())
}

fn keyed(call: Call, key: Option<u8>) -> Call {
    match key {
        Some(key) => call.header("idempotency-key", &format!("key-{key}")),
        None => call,
    }
}

//! Policies in Rego, evaluated in process.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result};
use regorus::{
    Engine, Value,
    utils::limits::{ExecutionTimerConfig, PolicyLengthConfig},
};
use tokio::sync::Semaphore;

use super::{
    Bounded, Decision, Language, Policy, PolicyText,
    input::input,
    language::{MAX_TEXT, bad},
    shape::{self, Syntax},
};

/// Longest one evaluation may take.
const TIME_LIMIT: Duration = Duration::from_millis(200);
/// Steps of the interpreter between two looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// Evaluations of one policy at the same time, each on an engine of its own: one that is shared is slower
/// than one alone.
const WORKERS: usize = 4;
/// What the text is called in errors.
const FILE: &str = "policy.rego";

/// One module of Rego, with its data.
///
/// Allowed is what its rule `allow` makes `true` and its rule `deny`, where it has one, does not deny: `deny`
/// denies by anything but `false`, undefined and an empty set, and the messages of `deny[message]` become the
/// reasons. An error while it is evaluated denies, as does taking longer than 200 ms.
pub struct RegoPolicy {
    rules: Arc<Rules>,
    workers: Semaphore,
}

struct Rules {
    allow: String,
    deny: Option<String>,
    prepared: Mutex<Engine>,
    idle: Mutex<Vec<Engine>>,
}

impl RegoPolicy {
    /// Parses a module, as the version of Rego it is written in.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) that names line and column, and for a module without a rule
    /// `allow`.
    pub fn parse(policy: &PolicyText) -> Result<Self> {
        shape::check(Syntax::Rego, &policy.text).map_err(|deep| bad("text", deep.to_string()))?;
        let mut engine = Engine::new();
        engine.set_rego_v0(policy.language == Language::RegoV0);
        engine.set_policy_length_config(lengths());
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: TIME_LIMIT, check_interval: STEPS });
        // What a policy prints would go to the standard error of the server.
        engine.set_gather_prints(true);
        let package =
            engine.add_policy(FILE.to_owned(), policy.text.clone()).map_err(|error| refused(&error))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        if !package.bytes().all(plain) {
            return Err(bad("text", "the package must have a plain name, as in `package mcp.authz`"));
        }
        let (allow, deny) = (format!("{package}.allow"), format!("{package}.deny"));
        if !declared(&engine, "allow")? {
            return Err(bad("text", format!("the module has no rule `allow`, which is asked as `{allow}`")));
        }
        let deny = declared(&engine, "deny")?.then_some(deny);
        let data = serde_json::Value::Object(policy.data.clone());
        engine.add_data(Value::from(data)).map_err(|error| bad("data", error.to_string()))?;
        for rule in [Some(&allow), deny.as_ref()].into_iter().flatten() {
            engine.compile_with_entrypoint(&rule.as_str().into()).map_err(|error| refused(&error))?;
        }
        let rules = Rules { allow, deny, prepared: Mutex::new(engine), idle: Mutex::default() };
        Ok(Self { rules: Arc::new(rules), workers: Semaphore::new(WORKERS) })
    }
}

fn lengths() -> PolicyLengthConfig {
    let bytes = NonZeroUsize::new(MAX_TEXT).unwrap_or(NonZeroUsize::MIN);
    PolicyLengthConfig { max_file_bytes: bytes, ..PolicyLengthConfig::default() }
}

fn declared(engine: &Engine, rule: &str) -> Result<bool> {
    engine.has_declared_rule_rooted_at(FILE, rule).map_err(|error| refused(&error))
}

impl Rules {
    fn decide(&self, input: serde_json::Value) -> Decision {
        let idle = lock(&self.idle).pop();
        let mut engine = idle.unwrap_or_else(|| lock(&self.prepared).clone());
        engine.set_input(Value::from(input));
        let decision = self.ask(&mut engine).unwrap_or_else(|error| Decision::failed([in_a_line(&error)]));
        // Also to forget them.
        let prints = engine.take_prints();
        let mut idle = lock(&self.idle);
        if prints.is_ok() && idle.len() < WORKERS {
            idle.push(engine);
        }
        decision
    }

    fn ask(&self, engine: &mut Engine) -> std::result::Result<Decision, String> {
        if let Some(rule) = &self.deny {
            let denied = engine.eval_rule(rule.clone()).map_err(|error| error.to_string())?;
            if let Some(reasons) = denials(rule, &denied) {
                return Ok(Decision::deny(reasons));
            }
        }
        let allowed = engine.eval_rule(self.allow.clone()).map_err(|error| error.to_string())?;
        Ok(match allowed {
            Value::Bool(true) => Decision::allow([self.allow.as_str()]),
            _ => Decision::deny::<String>([]),
        })
    }
}

/// Why `value`, what a rule `deny` came to, denies; `None` if it does not.
fn denials(rule: &str, value: &Value) -> Option<Vec<String>> {
    let named = |values: &mut dyn Iterator<Item = &Value>| {
        let reasons: Vec<_> = values
            .map(|value| match value {
                Value::String(message) => message.to_string(),
                _ => rule.to_owned(),
            })
            .collect();
        (!reasons.is_empty()).then_some(reasons)
    };
    match value {
        Value::Undefined | Value::Bool(false) => None,
        Value::Set(values) => named(&mut values.iter()),
        Value::Array(values) => named(&mut values.iter()),
        Value::Object(values) => named(&mut values.values()),
        other => named(&mut std::iter::once(other)),
    }
}

#[async_trait]
impl Policy for RegoPolicy {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        let closed = || Error::unavailable("policy.evaluate", "the server is shutting down");
        let _turn = self.workers.acquire().await.map_err(|_| closed())?;
        let (rules, input) = (self.rules.clone(), input(asked.request()));
        // It may take as long as its limit, too long for a thread that serves others.
        let decided = tokio::task::spawn_blocking(move || rules.decide(input)).await;
        decided.map_err(|error| {
            Error::new(ErrorKind::Internal, "policy.evaluate", "the policy could not be evaluated")
                .with_source(error)
        })
    }
}

impl fmt::Debug for RegoPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegoPolicy({})", self.rules.allow)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine shows the line with a mark below it; its last line says what is wrong with it.
fn refused(error: &impl fmt::Display) -> Error {
    bad("text", in_a_line(&error.to_string()))
}

fn in_a_line(error: &str) -> String {
    let mut place = None;
    let mut said = "";
    for line in error.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(at) = line.strip_prefix("-->")
            && let Some((rest, column)) = at.trim().rsplit_once(':')
            && let Some((_, row)) = rest.rsplit_once(':')
        {
            place.get_or_insert((row, column));
        } else {
            said = line;
        }
    }
    let said = said.strip_prefix("error:").unwrap_or(said).trim();
    match place {
        Some((row, column)) => format!("the policy, line {row}, column {column}: {said}"),
        None => format!("the policy: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(language: Language, text: &str) -> String {
        let error = RegoPolicy::parse(&PolicyText::new(language, text)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        error.message().to_owned()
    }

    #[test]
    fn what_is_shipped_is_valid() {
        let text = include_str!("../../policies/by_permission.rego");
        RegoPolicy::parse(&PolicyText::new(Language::Rego, text)).unwrap();
    }

    #[test]
    fn errors_name_line_and_column() {
        let syntax = refused(Language::Rego, "package a\n\nallow if input.x ==");
        assert!(syntax.contains("line 3, column"), "{syntax}");
        let version = refused(Language::Rego, "package a\nallow { input.x }");
        assert!(version.contains("line 2, column"), "{version}");
        let unsafe_variable = refused(Language::Rego, "package a\nallow if x == y");
        assert!(unsafe_variable.contains("line 2"), "{unsafe_variable}");
        assert!(refused(Language::Rego, "package a\nallowed if input.x").contains("no rule `allow`"));
        refused(Language::Rego, "allow := true");
        refused(Language::Rego, "");
    }

    #[test]
    fn what_nests_deeply_is_refused() {
        for (open, close) in
            [("(", ")"), ("[", "]"), ("{\"a\":", "}"), ("[x | x := ", "]"), ("not ", ""), ("- ", "")]
        {
            let text = format!("package a\nallow if {}1{}", open.repeat(3000), close.repeat(3000));
            refused(Language::Rego, &text);
        }
        // What is just not too deep is parsed and evaluated.
        for (open, close) in
            [("(", ")"), ("[", "]"), ("- ", ""), ("1 + ", ""), ("{1} | ", ""), ("input[", "]")]
        {
            for count in [8, 50, 95] {
                let text = format!("package a\nallow if {}1{}", open.repeat(count), close.repeat(count));
                if let Ok(policy) = RegoPolicy::parse(&PolicyText::new(Language::Rego, text)) {
                    policy.rules.decide(serde_json::json!({}));
                }
            }
        }
        for chain in [".a", "[0]"] {
            let text = format!("package a\nallow if input{}", chain.repeat(95));
            if let Ok(policy) = RegoPolicy::parse(&PolicyText::new(Language::Rego, text)) {
                policy.rules.decide(serde_json::json!({}));
            }
        }
    }
}

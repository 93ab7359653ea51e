//! The suite of chat providers on the backend for OpenAI's wire, and on two that are broken.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mcp_core::{Error, Result, Scope, key::Secret};
use mcp_inference::{
    chat::{ChatCompletion, ChatProvider, ChatRequest, ChatStream},
    conformance::{Behaviour, ChatHarness, KEY, run_chat_provider},
};
use serde_json::{Value, json};

use crate::upstream::{
    JSON, Step, Upstream, answer, delta, event, provider, role, says, stream_head, streams,
};

/// What breaks a provider.
type Break = fn(Arc<dyn ChatProvider>) -> Arc<dyn ChatProvider>;

/// The backend, as it is or behind something that breaks it.
#[derive(Default)]
struct OpenAi {
    upstream: std::sync::Mutex<Option<Upstream>>,
    broken: Option<Break>,
}

fn script(behaviour: Behaviour) -> Vec<Step> {
    let error = |text: &str| json!({ "error": { "message": text } }).to_string();
    let word = || delta(&json!({ "content": "Hel" }), None);
    match behaviour {
        Behaviour::Says(text) => says(text),
        Behaviour::Streams(words) => streams(words),
        Behaviour::EndsEarly => vec![stream_head(), role(), word()],
        Behaviour::FailsInside(text) => vec![stream_head(), role(), word(), event(&error(text)), word()],
        Behaviour::FailsWhole(text) => answer("200 OK", JSON, &error(text)),
        Behaviour::Nonsense => answer("200 OK", JSON, "garbage"),
        Behaviour::Blames(text) => answer("400 Bad", JSON, &error(text)),
        Behaviour::Limits(seconds) => answer("429 Slow", &format!("retry-after: {seconds}\r\n"), "{}"),
        Behaviour::Breaks(text) => answer("500 Oops", JSON, &error(text)),
        Behaviour::Hangs => vec![Step::Hold],
    }
}

#[async_trait]
impl ChatHarness for OpenAi {
    async fn provider(&self, behaviour: Behaviour) -> Arc<dyn ChatProvider> {
        let upstream = Upstream::start(vec![script(behaviour)]).await;
        let mut config = upstream.config("main");
        config.api_key = Some(Secret::new(KEY.to_owned()));
        config.first_byte = Duration::from_secs(5);
        *self.upstream.lock().unwrap() = Some(upstream);
        let provider: Arc<dyn ChatProvider> = Arc::new(provider(config));
        match self.broken {
            Some(broken) => broken(provider),
            None => provider,
        }
    }

    fn heard(&self) -> Value {
        self.upstream.lock().unwrap().as_ref().unwrap().heard().last().unwrap().body.clone()
    }

    async fn abandoned(&mut self) {
        self.upstream.get_mut().unwrap().as_mut().unwrap().abandoned().await;
    }
}

#[tokio::test]
async fn the_backend_for_openais_wire_keeps_every_promise() {
    let report = run_chat_provider(&mut OpenAi::default()).await;
    assert_eq!(report.failures(), None);
}

/// Breaks a promise with each method.
#[derive(Debug)]
struct Careless {
    inner: Arc<dyn ChatProvider>,
    #[expect(dead_code, reason = "it is there to be shown")]
    key: &'static str,
}

#[async_trait]
impl ChatProvider for Careless {
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Blames the provider for everything, forgets the deadline and repeats the key.
    async fn complete(&self, scope: &Scope, _: &str, request: &ChatRequest) -> Result<ChatCompletion> {
        let patient = Scope::new(scope.tenant().clone(), Arc::new(scope.principal().clone()));
        let answered = self.inner.complete(&patient, request.model(), request).await;
        answered.map_err(|error| Error::upstream("careless", format!("{KEY}: {error}")))
    }

    /// Ends a broken stream as if it were whole.
    async fn stream(&self, scope: &Scope, model: &str, request: &ChatRequest) -> Result<ChatStream> {
        use futures_util::StreamExt as _;
        let stream = self.inner.stream(scope, model, request).await?;
        Ok(Box::pin(stream.take_while(|chunk| std::future::ready(chunk.is_ok()))))
    }
}

#[tokio::test]
async fn the_suite_finds_a_careless_provider() {
    let broken = |inner| Arc::new(Careless { inner, key: KEY }) as Arc<dyn ChatProvider>;
    let report = run_chat_provider(&mut OpenAi { broken: Some(broken), ..OpenAi::default() }).await;
    for case in ["untouched", "an_error_ends_a_stream", "whose_fault_it_is", "no_secrets", "time_is_bounded"]
    {
        assert!(report.failed(case), "{case} did not notice");
    }
    assert!(!report.failed("dropping_ends_the_request"));
}

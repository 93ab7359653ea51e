//! What every chat provider keeps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use mcp_core::{
    Error, ErrorKind, Scope,
    conformance::{Failure, Outcome, Report, ensure, scope_of},
};
use serde_json::{Value, json};

use crate::chat::{ChatChunk, ChatProvider, ChatRequest};

/// The key that providers of a [`ChatHarness`] send.
pub const KEY: &str = "sk-conformance-secret";
/// What an upstream says that no error may repeat.
const INSIDE: &str = "stack trace of the upstream";

/// What an upstream does with the next request, in its own wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers whole with this text.
    Says(&'static str),
    /// Answers in chunks, a word each, and tells what it used.
    Streams(&'static [&'static str]),
    /// Begins a stream with one word, and ends it there.
    EndsEarly,
    /// Begins a stream with one word, and goes on with an error that says this.
    FailsInside(&'static str),
    /// Answers 200 with an error inside that says this.
    FailsWhole(&'static str),
    /// Answers 200 with what is no completion.
    Nonsense,
    /// Answers 400, as it does not like the request, and says this.
    Blames(&'static str),
    /// Answers 429 and wants to be left alone for so many seconds.
    Limits(u32),
    /// Answers 500 and says this.
    Breaks(&'static str),
    /// Takes the request, and never answers.
    Hangs,
}

/// A provider under test, before an upstream that does as it is told.
#[async_trait]
pub trait ChatHarness: Send + Sync {
    /// A provider, with [`KEY`] as its key, whose upstream does this with each request.
    async fn provider(&self, behaviour: Behaviour) -> Arc<dyn ChatProvider>;

    /// The body of the last request that reached the upstream of the last provider.
    fn heard(&self) -> Value;

    /// Waits until a client has gone away before the upstream of the last provider was done.
    async fn abandoned(&mut self);
}

/// Runs every case.
pub async fn run_chat_provider(harness: &mut dyn ChatHarness) -> Report {
    let mut report = Report::default();
    report.cases.push(("untouched", untouched(harness).await));
    report.cases.push(("a_good_answer_or_an_error", good_or_error(harness).await));
    report.cases.push(("an_error_ends_a_stream", error_ends(harness).await));
    report.cases.push(("whose_fault_it_is", whose_fault(harness).await));
    report.cases.push(("no_secrets", no_secrets(harness).await));
    report.cases.push(("time_is_bounded", time_is_bounded(harness).await));
    report.cases.push(("dropping_ends_the_request", dropping_ends(harness).await));
    report
}

fn scope() -> Result<Scope, Error> {
    scope_of("acme")
}

/// With a field that no wire format has.
fn request() -> Result<ChatRequest, Error> {
    let body = json!({
        "model": "asked",
        "messages": [{ "role": "user", "content": "hi" }],
        "x_unheard_of": { "a": [1, 2.50, null] },
    });
    ChatRequest::parse(body.to_string().as_bytes())
}

async fn whole(harness: &dyn ChatHarness, behaviour: Behaviour) -> Result<Value, Error> {
    let provider = harness.provider(behaviour).await;
    let answer = provider.complete(&scope()?, "real", &request()?).await?;
    serde_json::from_slice(&answer.json)
        .map_err(|error| Error::internal("conformance.chat", format!("the answer is no JSON: {error}")))
}

/// All that comes of a stream; an error before it counts as its only item.
async fn stream(
    harness: &dyn ChatHarness,
    behaviour: Behaviour,
) -> Result<Vec<Result<ChatChunk, Error>>, Error> {
    let provider = harness.provider(behaviour).await;
    Ok(match provider.stream(&scope()?, "real", &request()?).await {
        Ok(stream) => stream.collect().await,
        Err(error) => vec![Err(error)],
    })
}

async fn untouched(harness: &mut dyn ChatHarness) -> Outcome {
    let answer = whole(harness, Behaviour::Says("hello")).await?;
    let text = &answer["choices"][0]["message"]["content"];
    ensure(text == "hello", format!("the answer became {answer}"))?;
    let heard = harness.heard();
    ensure(heard["model"] == "real", "the upstream was not asked for its own name of the model")?;
    ensure(heard["x_unheard_of"] == json!({ "a": [1, 2.50, null] }), format!("the request became {heard}"))
}

async fn good_or_error(harness: &mut dyn ChatHarness) -> Outcome {
    let chunks = stream(harness, Behaviour::Streams(&["Hel", "lo"])).await?;
    ensure(chunks.iter().all(Result::is_ok), "a good stream holds an error")?;
    let with_content = chunks.iter().flatten().filter(|chunk| chunk.content).count();
    ensure(with_content == 2, format!("two words came in {with_content} chunks"))?;
    ensure(chunks.iter().flatten().any(|chunk| chunk.usage.is_some()), "what was used got lost")?;
    for behaviour in [Behaviour::FailsWhole("boom"), Behaviour::Nonsense] {
        let kind = whole(harness, behaviour).await.err().map(|error| error.kind());
        ensure(kind == Some(ErrorKind::Upstream), format!("{behaviour:?} gave {kind:?}"))?;
    }
    Ok(())
}

async fn error_ends(harness: &mut dyn ChatHarness) -> Outcome {
    for behaviour in [Behaviour::EndsEarly, Behaviour::FailsInside("boom")] {
        let chunks = stream(harness, behaviour).await?;
        let good = chunks.iter().take_while(|chunk| chunk.is_ok()).count();
        ensure(good > 0, format!("{behaviour:?}: what came before the error got lost"))?;
        ensure(good + 1 == chunks.len(), format!("{behaviour:?}: the stream does not end with its error"))?;
    }
    Ok(())
}

async fn whose_fault(harness: &mut dyn ChatHarness) -> Outcome {
    for (behaviour, expected) in [
        (Behaviour::Blames("no such role"), ErrorKind::InvalidInput),
        (Behaviour::Limits(7), ErrorKind::RateLimited),
        (Behaviour::Breaks("oops"), ErrorKind::Upstream),
    ] {
        let error = failed(whole(harness, behaviour).await, behaviour)?;
        ensure(error.kind() == expected, format!("{behaviour:?} gave {error}"))?;
        let wait = (behaviour == Behaviour::Limits(7)).then_some(Duration::from_secs(7));
        ensure(
            error.retry_after() == wait,
            format!("{behaviour:?}: to be asked after {:?}", error.retry_after()),
        )?;
    }
    Ok(())
}

async fn no_secrets(harness: &mut dyn ChatHarness) -> Outcome {
    let provider = format!("{:?}", harness.provider(Behaviour::Nonsense).await);
    ensure(!provider.contains(KEY), "a provider shows its key")?;
    for behaviour in [Behaviour::FailsWhole(INSIDE), Behaviour::Breaks(INSIDE), Behaviour::Breaks(KEY)] {
        let error = failed(whole(harness, behaviour).await, behaviour)?;
        let told = error.message();
        ensure(!told.contains(KEY) && !told.contains(INSIDE), format!("{behaviour:?} is told as {told:?}"))?;
    }
    Ok(())
}

async fn time_is_bounded(harness: &mut dyn ChatHarness) -> Outcome {
    let provider = harness.provider(Behaviour::Hangs).await;
    let soon = scope()?.with_deadline(Instant::now() + Duration::from_millis(100));
    let kind = |error: Error| error.kind();
    let answers = async {
        let whole = provider.complete(&soon, "real", &request()?).await.err().map(kind);
        let stream = provider.stream(&soon, "real", &request()?).await.err().map(kind);
        ensure(whole == Some(ErrorKind::DeadlineExceeded), format!("whole: {whole:?}"))?;
        ensure(stream == Some(ErrorKind::DeadlineExceeded), format!("streamed: {stream:?}"))
    };
    tokio::time::timeout(Duration::from_secs(10), answers)
        .await
        .unwrap_or_else(|_| Err(Failure::from("the deadline of the scope does not end the call".to_owned())))
}

async fn dropping_ends(harness: &mut dyn ChatHarness) -> Outcome {
    let provider = harness.provider(Behaviour::Hangs).await;
    let (scope, request) = (scope()?, request()?);
    let asking = provider.complete(&scope, "real", &request);
    let gave_up = tokio::time::timeout(Duration::from_millis(200), asking).await.is_err();
    ensure(gave_up, "an upstream that hangs was answered for")?;
    tokio::time::timeout(Duration::from_secs(10), harness.abandoned())
        .await
        .map_err(|_| Failure::from("the request goes on at the provider".to_owned()))
}

fn failed<T>(result: Result<T, Error>, behaviour: Behaviour) -> Result<Error, Failure> {
    result.err().ok_or_else(|| format!("{behaviour:?} was taken for a good answer").into())
}

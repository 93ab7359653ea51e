//! The backend for OpenAI-compatible servers: what it sends, and what becomes of every bad answer.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mcp_core::{Error, ErrorKind, key::Secret};
use mcp_inference::chat::{ChatChunk, ChatProvider as _, Usage};
use serde_json::{Value, json};

use crate::upstream::{
    JSON, Step, Upstream, answer, delta, event, provider, request, role, says, scope, stream_head, streams,
};

/// All that comes of a stream; an error is the last thing.
async fn read(upstream: &Upstream) -> Vec<Result<ChatChunk, Error>> {
    let mut config = upstream.config("main");
    (config.idle, config.max_event, config.max_answer) = (Duration::from_millis(200), 4096, 16_384);
    config.first_byte = Duration::from_secs(1);
    match provider(config).stream(&scope(), "real", &request("fast")).await {
        Ok(stream) => stream.collect().await,
        Err(error) => vec![Err(error)],
    }
}

#[tokio::test]
async fn a_request_carries_the_key_the_trace_and_the_providers_own_model() {
    let upstream = Upstream::start(vec![says("hello"), streams(&["a"])]).await;
    let mut config = upstream.config("main");
    config.api_key = Some(Secret::new("sk-secret".to_owned()));
    let provider = provider(config);
    assert!(!format!("{provider:?}").contains("sk-secret"));
    let scope = scope();
    let answer = provider.complete(&scope, "real", &request("fast")).await.unwrap();
    let json: Value = serde_json::from_slice(&answer.json).unwrap();
    assert_eq!(json["choices"][0]["message"]["content"], "hello");
    assert_eq!(answer.usage, Some(Usage { prompt: 5, completion: 2, cached: 0 }));
    provider.stream(&scope, "real", &request("fast")).await.unwrap().collect::<Vec<_>>().await;

    let heard = upstream.heard();
    assert!(heard[0].head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", heard[0].head);
    for wanted in ["authorization: Bearer sk-secret", "traceparent: 00-", "accept: application/json"] {
        assert!(heard[0].head.contains(wanted), "{wanted} is not in {}", heard[0].head);
    }
    let messages = json!([{ "role": "user", "content": "hi" }]);
    assert_eq!(heard[0].body, json!({ "model": "real", "messages": messages }));
    let options = json!({ "include_usage": true });
    assert_eq!(
        heard[1].body,
        json!({ "model": "real", "stream": true, "messages": messages, "stream_options": options })
    );
}

#[tokio::test]
async fn every_bad_answer_is_an_error_that_tells_what_it_was() {
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(20_000));
    for (script, kind, wanted) in [
        (answer("429 Too Many", "retry-after: 7\r\n", "slow down"), ErrorKind::RateLimited, "429"),
        (
            answer("500 Oops", JSON, r#"{"error":{"message":"stack trace"}}"#),
            ErrorKind::Upstream,
            "status 500",
        ),
        (answer("307 Go", "location: http://evil/\r\n", ""), ErrorKind::Upstream, "status 307"),
        (
            answer("401 No", JSON, r#"{"error":{"message":"bad key sk-1"}}"#),
            ErrorKind::Upstream,
            "credentials",
        ),
        (answer("200 OK", JSON, r#"{"error":{"message":"boom"}}"#), ErrorKind::Upstream, "with an error"),
        (answer("200 OK", JSON, "garbage"), ErrorKind::Upstream, "no chat completion"),
        (
            answer("200 OK", "content-type: text/html\r\n", "<html>"),
            ErrorKind::Upstream,
            "no application/json",
        ),
        (answer("200 OK", JSON, &long), ErrorKind::Upstream, "more bytes"),
        (
            vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 99\r\n\r\n{{\"choices\""))],
            ErrorKind::Upstream,
            "broke the connection",
        ),
        (vec![Step::Send("garbage\r\n\r\n".to_owned())], ErrorKind::Upstream, "broke the connection"),
        (vec![], ErrorKind::Upstream, "broke the connection"),
        (vec![Step::Hold], ErrorKind::Upstream, "did not begin to answer within 300ms"),
        (
            vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 9\r\n\r\n{{")), Step::Hold],
            ErrorKind::Upstream,
            "paused for more than 200ms",
        ),
    ] {
        let upstream = Upstream::start(vec![script]).await;
        let mut config = upstream.config("main");
        (config.first_byte, config.idle) = (Duration::from_millis(300), Duration::from_millis(200));
        config.max_answer = 16_384;
        let error = provider(config).complete(&scope(), "real", &request("fast")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(wanted), "{wanted:?} is not in {error}");
        for leaked in ["stack trace", "sk-1", "boom", "slow down"] {
            assert!(!error.message().contains(leaked), "{error}");
        }
        let wait = (kind == ErrorKind::RateLimited).then_some(Duration::from_secs(7));
        assert_eq!(error.retry_after(), wait);
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_unavailable() {
    let gone = Upstream::start(vec![vec![]]).await.address;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    assert_ne!(gone, free);
    let config =
        mcp_inference::chat::openai::OpenAiConfig::new("main", &format!("http://{free}/v1")).unwrap();
    let error = provider(config).complete(&scope(), "real", &request("fast")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Unavailable, "the provider `main` cannot be reached")
    );
}

#[tokio::test]
async fn a_good_stream_ends_with_what_it_used() {
    let upstream = Upstream::start(vec![streams(&["Hel", "lo"])]).await;
    let chunks: Vec<ChatChunk> = read(&upstream).await.into_iter().collect::<Result<_, _>>().unwrap();
    let content: Vec<bool> = chunks.iter().map(|chunk| chunk.content).collect();
    assert_eq!(content, [false, true, true, false, false]);
    assert_eq!(chunks.last().unwrap().usage, Some(Usage { prompt: 5, completion: 2, cached: 0 }));
}

#[tokio::test]
async fn a_stream_that_ends_without_its_mark_but_after_its_choice_is_whole() {
    let mut script = streams(&["a"]);
    script.pop();
    let upstream = Upstream::start(vec![script]).await;
    assert!(read(&upstream).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn every_bad_stream_ends_with_an_error_and_nothing_after_it() {
    let word = || delta(&json!({ "content": "Hel" }), None);
    let failed = event(r#"{"error":{"message":"boom","code":"server_error"}}"#);
    let long = event(&format!(r#"{{"choices":[],"x":"{}"}}"#, "x".repeat(5000)));
    let mut endless = vec![stream_head()];
    endless.extend((0..500).map(|_| word()));
    for (script, good, wanted) in [
        (vec![stream_head(), role(), word()], 2, "ended its answer before the end"),
        (vec![stream_head()], 0, "ended its answer before the end"),
        (vec![stream_head(), role(), word(), failed, word()], 2, "answered with an error"),
        (vec![stream_head(), event("{\"cho"), word()], 0, "no chat completion"),
        (vec![stream_head(), role(), long], 1, "more bytes than its limit"),
        (endless, 50, "more bytes than its limit"),
        (vec![stream_head(), role(), Step::Hold], 1, "paused for more than 200ms"),
        (answer("200 OK", JSON, r#"{"error":{"message":"x"}}"#), 0, "answered with an error"),
        (says("whole"), 0, "no text/event-stream"),
        (answer("500 Oops", JSON, "{}"), 0, "status 500"),
    ] {
        let upstream = Upstream::start(vec![script]).await;
        let read = read(&upstream).await;
        let (last, before) = read.split_last().unwrap();
        let error = last.as_ref().unwrap_err();
        assert!(error.message().contains(wanted), "{wanted:?} is not in {error}");
        assert!(before.iter().all(Result::is_ok));
        assert!(before.len() >= good, "{wanted}: {} chunks", before.len());
    }
}

#[tokio::test]
async fn who_goes_away_ends_the_request_at_the_provider() {
    let mut upstream = Upstream::start(vec![vec![Step::Hold]]).await;
    let provider = upstream.provider("main");
    let (scope, asked) = (scope(), request("fast"));
    let asking = provider.complete(&scope, "real", &asked);
    assert!(tokio::time::timeout(Duration::from_millis(200), asking).await.is_err());
    upstream.abandoned().await;

    let mut upstream = Upstream::start(vec![vec![stream_head(), role(), Step::Hold]]).await;
    let mut stream = upstream.provider("main").stream(&scope, "real", &asked).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    upstream.abandoned().await;
}

#[tokio::test]
async fn the_scopes_deadline_is_the_providers() {
    let upstream = Upstream::start(vec![vec![Step::Hold]]).await;
    let scope = scope().with_deadline(Instant::now() + Duration::from_millis(100));
    let provider = upstream.provider("main");
    let whole = provider.complete(&scope, "real", &request("fast")).await.unwrap_err();
    assert_eq!(whole.kind(), ErrorKind::DeadlineExceeded);
    let stream = provider.stream(&scope, "real", &request("fast")).await.err().unwrap();
    assert_eq!(stream.kind(), ErrorKind::DeadlineExceeded);
}

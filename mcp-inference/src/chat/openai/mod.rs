//! The provider for everything that speaks OpenAI's wire: OpenAI, vLLM, Ollama, llama.cpp and many more.

mod client;
mod config;
mod failure;
mod stream;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use mcp_core::{Error, ErrorKind, Result, Scope, clock::Clock};

pub use config::OpenAiConfig;

use self::{client::Client, failure::Failure, stream::Reading};
use super::{ChatCompletion, ChatProvider, ChatRequest, ChatStream, answer::NoAnswer};

/// An account at an OpenAI-compatible server.
///
/// Requests go to `{base_url}/chat/completions` over a pool of connections of its own. Redirects are not
/// followed: they would carry the key elsewhere.
#[derive(Debug)]
pub struct OpenAiProvider {
    config: OpenAiConfig,
    /// Address and account, so that a `Retry-After` to one account does not hold for another's.
    upstream: String,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl OpenAiProvider {
    /// The provider of `config`; nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a key that is no header value or a limit of zero.
    pub fn new(config: OpenAiConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        config.check()?;
        let client = Client::new(&config)?;
        Ok(Self { upstream: config.account(), config, client, clock })
    }

    /// Sends the request, and makes an error of every answer but a good one.
    async fn send(
        &self,
        scope: &Scope,
        model: &str,
        request: &ChatRequest,
        stream: bool,
    ) -> Result<Response<Incoming>> {
        let body = request.body(model, stream, self.config.stream_usage)?;
        let response = self.client.send(scope, body, stream).await.map_err(|failure| {
            let why = if failure.unreachable { Failure::Unreachable } else { Failure::Broke };
            self.error(why).with_source(failure.source)
        })?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        Err(failure::of_status(&self.config, model, response, self.clock.now()).await)
    }

    /// Runs `work` within the time the provider has and the scope leaves it.
    async fn within<T>(
        &self,
        scope: &Scope,
        limit: Duration,
        failure: fn(Duration) -> Failure,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let wait = scope.remaining(limit);
        tokio::time::timeout(wait, work).await.unwrap_or_else(|_| {
            Err(match wait < limit {
                true => Error::new(
                    ErrorKind::DeadlineExceeded,
                    failure::OPERATION,
                    format!("the provider `{}` did not answer within the deadline", self.config.name),
                ),
                false => self.error(failure(limit)),
            })
        })
    }

    fn error(&self, failure: Failure) -> Error {
        failure.of(&self.config.name)
    }
}

#[async_trait]
impl ChatProvider for OpenAiProvider {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn upstream(&self) -> &str {
        &self.upstream
    }

    async fn complete(&self, scope: &Scope, model: &str, request: &ChatRequest) -> Result<ChatCompletion> {
        let answer = async {
            let sent = self.send(scope, model, request, false);
            let response = self.within(scope, self.config.first_byte, Failure::Silent, sent).await?;
            if !client::is_type(&response, "application/json") {
                return Err(self.error(Failure::ContentType("application/json")));
            }
            let limit = self.config.max_answer;
            let body = client::whole(response.into_body(), limit, self.config.idle);
            let body = body.await.map_err(|failure| self.error(failure))?;
            ChatCompletion::parse(body).map_err(|none| self.error(none.into()))
        };
        self.within(scope, self.config.total, Failure::Overlong, answer).await
    }

    async fn stream(&self, scope: &Scope, model: &str, request: &ChatRequest) -> Result<ChatStream> {
        let until = Instant::now() + self.config.total;
        let sent = self.send(scope, model, request, true);
        let response = self.within(scope, self.config.first_byte, Failure::Silent, sent).await?;
        if !client::is_type(&response, "text/event-stream") {
            return Err(self.not_a_stream(response).await);
        }
        Ok(Reading::new(&self.config, response.into_body(), until).into_stream())
    }
}

impl OpenAiProvider {
    /// Some servers tell of an error in JSON, with a good status, where a stream was asked for.
    async fn not_a_stream(&self, response: Response<Incoming>) -> Error {
        let json = client::is_type(&response, "application/json");
        let body = client::whole(response.into_body(), failure::MAX_ERROR, self.config.idle).await;
        match (json, body) {
            (true, Ok(body)) => match ChatCompletion::parse(body) {
                Err(none @ NoAnswer::Error { .. }) => self.error(none.into()),
                _ => self.error(Failure::ContentType("text/event-stream")),
            },
            _ => self.error(Failure::ContentType("text/event-stream")),
        }
    }
}

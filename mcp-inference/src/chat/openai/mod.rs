//! Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp and others.

mod client;
mod failure;
mod stream;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use mcp_core::{Error, Result, Scope, key::Secret};
use serde_json::Value;
use url::Url;

pub use client::HttpClient;

use self::failure::Failures;
use super::{ChatCompletion, ChatProvider, ChatRequest, ChunkStream};

/// Where a provider is, and what bounds a conversation with it.
///
/// Providers are operators' to configure: the URL may lead to any address, private ones included.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// What the API's paths are appended to, as in `https://api.openai.com/v1`.
    pub base_url: Url,
    /// Sent as a bearer token.
    pub api_key: Option<Secret<String>>,
    /// Longest wait for a whole answer, and for the first chunk of one. Default 60 s.
    pub timeout: Duration,
    /// Longest silence within a stream. Default 30 s.
    pub idle_timeout: Duration,
    /// Largest answer, and largest sum of a stream's chunks, in bytes. Default 16 MiB.
    pub max_answer: usize,
}

impl OpenAiConfig {
    /// Without a key and with the default bounds.
    #[must_use]
    pub const fn new(base_url: Url) -> Self {
        Self {
            base_url,
            api_key: None,
            timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_answer: 16 << 20,
        }
    }
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold credentials of its own.
        f.debug_struct("OpenAiConfig").field("host", &self.base_url.host_str()).finish_non_exhaustive()
    }
}

/// A provider with an OpenAI-compatible API.
#[derive(Debug)]
pub struct OpenAiProvider {
    failures: Failures,
    client: HttpClient,
    endpoint: Uri,
    headers: HeaderMap,
    config: OpenAiConfig,
}

impl OpenAiProvider {
    /// A provider of this name; connections are made when they are needed.
    ///
    /// # Errors
    /// `InvalidInput` for a URL that is no `http` or `https` one or holds credentials, or a key that is no
    /// header value.
    pub fn new(name: &str, config: OpenAiConfig, client: HttpClient) -> Result<Self> {
        let refuse = |why: &str| Error::invalid_input("provider.open", format!("provider `{name}`: {why}"));
        let url = &config.base_url;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(refuse("base_url is no http or https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("base_url holds credentials; put them into api_key"));
        }
        let endpoint = format!("{}/chat/completions", url.as_str().trim_end_matches('/'));
        let endpoint = endpoint.parse().map_err(|_| refuse("base_url holds a query or is malformed"))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &config.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
                .map_err(|_| refuse("api_key holds a character that no header can"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self { failures: Failures::new(name), client, endpoint, headers, config })
    }

    /// The response to the request, whose status was a success.
    async fn send(&self, scope: &Scope, request: &ChatRequest, stream: bool) -> Result<Response<Incoming>> {
        let mut request = request.clone();
        request.stream = stream;
        let body = serde_json::to_vec(&request).map_err(|error| {
            Error::internal("provider.send", "the request cannot be written").with_source(error)
        })?;
        let mut sent = Request::new(Full::new(Bytes::from(body)));
        *sent.method_mut() = Method::POST;
        *sent.uri_mut() = self.endpoint.clone();
        *sent.headers_mut() = self.headers.clone();
        let accept = if stream { "text/event-stream" } else { "application/json" };
        sent.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        if let Ok(trace) = HeaderValue::try_from(scope.trace().child().to_string()) {
            sent.headers_mut().insert("traceparent", trace);
        }
        let response = self.client.send(sent).await.map_err(|error| self.failures.unreachable(error))?;
        match response.status() {
            StatusCode::OK if is_type(&response, accept) => Ok(response),
            // A server that knows no streams, or answers an error with status 200, says so in JSON.
            StatusCode::OK => {
                let found = media_type(&response).to_owned();
                let body = self.whole(response).await.unwrap_or_default();
                Err(self.failures.other_type(&found, accept, &body))
            }
            _ => {
                let (parts, body) = response.into_parts();
                let body = Limited::new(body, failure::MAX_BODY).collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                Err(self.failures.status(parts.status, &parts.headers, &body))
            }
        }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes> {
        match Limited::new(response.into_body(), self.config.max_answer).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(self.failures.nonsense("answered with more than the limit", None))
            }
            Err(error) => Err(self.failures.nonsense("broke off its answer", Some(error))),
        }
    }
}

#[async_trait]
impl ChatProvider for OpenAiProvider {
    fn name(&self) -> &str {
        self.failures.provider()
    }

    async fn complete(&self, scope: &Scope, request: &ChatRequest) -> Result<ChatCompletion> {
        let answered = async {
            let response = self.send(scope, request, false).await?;
            let body = self.whole(response).await?;
            let value: Value = serde_json::from_slice(&body).map_err(|error| {
                self.failures.nonsense("answered with something that is no JSON", Some(error.into()))
            })?;
            if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
                return Err(self.failures.reported(error));
            }
            let completion: ChatCompletion = serde_json::from_value(value).map_err(|error| {
                self.failures.nonsense("answered with something that is no completion", Some(error.into()))
            })?;
            if completion.choices.is_empty() {
                return Err(self.failures.nonsense("answered without a choice", None));
            }
            Ok(completion)
        };
        let wait = scope.remaining(self.config.timeout);
        tokio::time::timeout(wait, answered).await.unwrap_or_else(|_| Err(self.failures.too_slow()))
    }

    async fn stream(&self, scope: &Scope, request: &ChatRequest) -> Result<ChunkStream> {
        let wait = scope.remaining(self.config.timeout);
        let sent = tokio::time::timeout(wait, self.send(scope, request, true)).await;
        let response = sent.unwrap_or_else(|_| Err(self.failures.too_slow()))?;
        let failures = self.failures.clone();
        let first = wait.min(self.config.timeout);
        Ok(stream::chunks(
            response.into_body(),
            failures,
            first,
            self.config.idle_timeout,
            self.config.max_answer,
        ))
    }
}

fn media_type<B>(response: &Response<B>) -> &str {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

fn is_type<B>(response: &Response<B>, wanted: &str) -> bool {
    media_type(response).eq_ignore_ascii_case(wanted)
}

//! From a method to its answer, for clients of every version.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    bridge, failure,
    guard::Refusal,
    input,
    legacy::unknown_method,
    level::Level,
    listing::Kind,
    method::Method,
    path::Endpoint,
    shared::{Caller, Client, Shared},
    splice,
    subscriptions::wants_resources,
};
use crate::{
    jsonrpc::{Fault, code},
    protocol::ServerName,
    upstream::{Deaf, Downstream, Reply},
};

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// A result of the gateway's own.
    Own(String),
    /// What a server answered.
    Passed(Reply),
}

/// The fields of `params` that routing looks at.
#[derive(Debug, Deserialize)]
struct Target<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
}

/// What a completion refers to.
#[derive(Debug, Deserialize)]
struct Reference<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
}

/// The permission a request needs.
pub(super) fn permission(method: Method, params: Option<&RawValue>) -> Option<&'static str> {
    match method {
        Method::Complete => {}
        Method::Listen => {
            return wants_resources(params).then(|| Method::ReadResource.permission()).flatten();
        }
        _ => return method.permission(),
    }
    let target = target(params).ok()?;
    match reference(&target).ok()?.kind.as_ref() {
        "ref/prompt" => Method::GetPrompt.permission(),
        _ => Method::ReadResource.permission(),
    }
}

impl Shared {
    /// Answers one request.
    ///
    /// # Errors
    /// The fault to answer with.
    ///
    /// # Cancellation
    /// Safe: a call to a server that has begun is cancelled there.
    pub(super) async fn answer(
        self: &Arc<Self>,
        caller: &Caller,
        method: Method,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Answer, Refusal> {
        let (scope, endpoint) = (&caller.scope, &caller.endpoint);
        match method {
            Method::Initialize => {
                Err(Fault::new(code::INVALID_REQUEST, "this session is initialized").into())
            }
            Method::Discover => Ok(Answer::Own(self.discover(scope, endpoint).await?)),
            Method::Ping => Ok(Answer::Own("{}".to_owned())),
            Method::SetLevel => Ok(self.set_level(caller, params).await?),
            Method::List(kind) => {
                self.may_list(caller, kind).await?;
                let Endpoint::Server(server) = endpoint else {
                    let list = self.list(scope, kind, params).await;
                    if let Client::Legacy(session) = &caller.client {
                        session.listed.notify_one();
                    }
                    return Ok(Answer::Own(list?));
                };
                Ok(self.forward(caller, server, method, params, downstream).await?)
            }
            Method::CallTool => self.call_named(caller, method, Kind::Tools, params, downstream).await,
            Method::GetPrompt => self.call_named(caller, method, Kind::Prompts, params, downstream).await,
            Method::ReadResource => {
                let uri = text_of(target(params)?.uri, "uri")?;
                let owner = self.owner_of_uri(scope, endpoint, &uri, not_found(caller)).await?;
                self.may_read(caller, method, &owner, &uri).await?;
                Ok(self.forward(caller, &owner, method, params, downstream).await?)
            }
            Method::Subscribe | Method::Unsubscribe => {
                let uri = text_of(target(params)?.uri, "uri")?;
                let Client::Legacy(session) = &caller.client else {
                    return Err(unknown_method(method.as_str()).into());
                };
                match method {
                    Method::Subscribe => self.subscribe(caller, session, &uri).await?,
                    _ => self.unsubscribe(caller, session, &uri).await?,
                }
                Ok(Answer::Own("{}".to_owned()))
            }
            // Its answer is a stream, which begins elsewhere.
            Method::Listen => Err(unknown_method(method.as_str()).into()),
            Method::Complete => self.complete(caller, params, downstream).await,
        }
    }

    async fn call_named(
        &self,
        caller: &Caller,
        method: Method,
        kind: Kind,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Answer, Refusal> {
        let (scope, endpoint) = (&caller.scope, &caller.endpoint);
        let Some(params) = params else { return Err(missing("name").into()) };
        let written = target(Some(params))?.name;
        let name = text_of(written, "name")?;
        let owner = self.owner_of_name(scope, endpoint, kind, &name).await?;
        let renamed = rename(params, written, &owner.name, &name);
        let params = renamed.as_deref().unwrap_or(params);
        let reserved = match method {
            Method::CallTool => self.may_call(caller, &owner).await?,
            _ => {
                self.may_get(caller, method, &owner).await?;
                None
            }
        };
        let answer = self.forward(caller, &owner.server, method, Some(params), downstream).await;
        self.called(scope, reserved, answer.is_ok()).await;
        let answer = answer?;
        if may_mean_unknown(&answer)
            && let Some(fault) = self.unknown_at_server(scope, endpoint, kind, &owner).await
        {
            return Err(fault.into());
        }
        Ok(answer)
    }

    async fn complete(
        &self,
        caller: &Caller,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Answer, Refusal> {
        let (scope, endpoint) = (&caller.scope, &caller.endpoint);
        let Some(params) = params else { return Err(missing("ref").into()) };
        let target = target(Some(params))?;
        let reference = reference(&target)?;
        if reference.kind == "ref/prompt" {
            let name = text_of(reference.name, "ref.name")?;
            let owner = self.owner_of_name(scope, endpoint, Kind::Prompts, &name).await?;
            self.may_get(caller, Method::Complete, &owner).await?;
            let renamed = rename(params, reference.name, &owner.name, &name);
            let params = renamed.as_deref().unwrap_or(params);
            return Ok(self
                .forward(caller, &owner.server, Method::Complete, Some(params), downstream)
                .await?);
        }
        let uri = text_of(reference.uri, "ref.uri")?;
        let server = self.owner_of_uri(scope, endpoint, &uri, not_found(caller)).await?;
        self.may_read(caller, Method::Complete, &server, &uri).await?;
        Ok(self.forward(caller, &server, Method::Complete, Some(params), downstream).await?)
    }

    /// Sends a request to one server, as it is if both sides are of one era.
    async fn forward(
        &self,
        caller: &Caller,
        server: &ServerName,
        method: Method,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Answer, Fault> {
        let scope = &caller.scope;
        let called = async {
            let upstream = self.connect(scope, server).await?;
            let method = method.as_str();
            match (&caller.client, upstream.info().version.is_stateless()) {
                (Client::Stateless { .. }, false) => {
                    let bridged = params.and_then(bridge::for_session);
                    upstream.call(scope, method, bridged.as_deref().or(params), downstream).await
                }
                (Client::Legacy(session), true) => {
                    let bridged = bridge::for_stateless(params, session.abilities, session.level());
                    input::call(scope, &*upstream, method, bridged.as_deref().or(params), downstream).await
                }
                _ => upstream.call(scope, method, params, downstream).await,
            }
        };
        let timeout = scope.remaining(self.config.call_timeout);
        match tokio::time::timeout(timeout, called).await {
            Ok(Ok(reply)) => Ok(Answer::Passed(reply)),
            Ok(Err(error)) => Err(failure::of_server(scope, server, &error)),
            Err(_) => Err(failure::of_server(scope, server, &failure::too_slow(server, method.as_str()))),
        }
    }

    /// Notes what the session wants to hear. Servers, whose connections others share, are asked for everything,
    /// and each session filters for itself.
    async fn set_level(&self, caller: &Caller, params: Option<&RawValue>) -> Result<Answer, Fault> {
        let level = Level::of_params(params)
            .ok_or_else(|| Fault::new(code::INVALID_PARAMS, "`level` must be a level of RFC 5424"))?;
        if let Client::Legacy(session) = &caller.client {
            session.set_level(level);
        }
        let (upstreams, _) = self.connect_all(&caller.scope, &caller.endpoint).await;
        let everything = splice::raw(format!("{{\"level\":\"{}\"}}", Level::Debug.as_str()));
        let told = upstreams
            .iter()
            .filter(|upstream| upstream.info().capabilities.get("logging").is_some())
            .filter(|upstream| !upstream.info().version.is_stateless())
            .map(|upstream| {
                upstream.call(&caller.scope, Method::SetLevel.as_str(), Some(&everything), &Deaf)
            });
        let timeout = caller.scope.remaining(self.config.list_timeout);
        let told = tokio::time::timeout(timeout, futures_util::future::join_all(told)).await;
        for error in told.unwrap_or_default().into_iter().filter_map(Result::err) {
            tracing::warn!(tenant = %caller.scope.tenant(), error = error.report(), "level not set");
        }
        Ok(Answer::Own("{}".to_owned()))
    }
}

fn target(params: Option<&RawValue>) -> Result<Target<'_>, Fault> {
    let text = params.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|_| {
        Fault::new(code::INVALID_PARAMS, "`params` must be an object that names each member once")
    })
}

fn reference<'a>(target: &Target<'a>) -> Result<Reference<'a>, Fault> {
    let refuse = || {
        Fault::new(
            code::INVALID_PARAMS,
            "`ref` must be {type: ref/prompt, name} or {type: ref/resource, uri}",
        )
    };
    let reference: Reference<'a> =
        serde_json::from_str(target.reference.ok_or_else(refuse)?.get()).map_err(|_| refuse())?;
    match reference.kind.as_ref() {
        "ref/prompt" | "ref/resource" => Ok(reference),
        _ => Err(refuse()),
    }
}

fn text_of(written: Option<&RawValue>, field: &'static str) -> Result<String, Fault> {
    let written = written.ok_or_else(|| missing(field))?;
    serde_json::from_str(written.get())
        .map_err(|_| Fault::new(code::INVALID_PARAMS, format!("`{field}` must be a string")))
}

fn missing(field: &'static str) -> Fault {
    Fault::new(code::INVALID_PARAMS, format!("`params.{field}` is missing"))
}

/// `params` with the name the server knows, or `None` where that is the name it has.
fn rename(params: &RawValue, written: Option<&RawValue>, inner: &str, name: &str) -> Option<Box<RawValue>> {
    let written = written.filter(|_| inner != name)?;
    let span = splice::span(params.get(), written.get());
    Some(splice::raw(splice::replace(params.get(), span, &splice::quoted(inner))))
}

/// The code for a resource that nobody has, which changed with the stateless version.
fn not_found(caller: &Caller) -> i64 {
    if caller.client.is_stateless() { code::INVALID_PARAMS } else { code::RESOURCE_NOT_FOUND }
}

/// Whether a server may have meant that it does not know the name.
fn may_mean_unknown(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failed {
        #[serde(default)]
        is_error: bool,
    }
    match answer {
        Answer::Own(_) => false,
        Answer::Passed(Reply::Error(_)) => true,
        Answer::Passed(Reply::Result(result)) => {
            memchr::memmem::find(result.get().as_bytes(), b"\"isError\"").is_some()
                && serde_json::from_str::<Failed>(result.get()).is_ok_and(|failed| failed.is_error)
        }
    }
}

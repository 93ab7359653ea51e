//! What is asked beside permissions before a request goes to a server, and what becomes of what comes back.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroU32, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    access::{Access, Action, Authorizer, Resource},
    audit::{AuditRecord, Chain, Outcome},
    layer::{Challenge, error_response},
    limit::{Limit, Meter, Quota, RateLimiter, Reservation},
    redact::Redactor,
};
use serde_json::{json, value::RawValue};

use super::{
    dispatch::Answer,
    listing::Kind,
    method::Method,
    names,
    path::Endpoint,
    route::Owner,
    shared::{Caller, Shared},
    splice,
};
use crate::{jsonrpc::Fault, protocol::ServerName, upstream::Reply};

/// Calls of tools that no server lists are limited together under this name, which no tool of a server has:
/// names that callers make up must not take a place in the limiter each.
const UNLISTED: &str = "*";
/// What a call of a tool counts as.
const CALLS: &str = "tools.calls";
/// Results longer than this are searched on threads of their own.
const LARGE: usize = 16 * 1024;

/// What a [`Gateway`](super::Gateway) asks beside permissions, and what it takes out of answers. By default
/// nothing.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    /// Whether a request may be made, once its permission is there. Tools and prompts are asked about as
    /// `tool` and `prompt` of the id `server__name`, whatever the prefixes; resources by their URIs; lists as
    /// the `endpoint` `/mcp`, or the `server`. The attribute `server` names the server, and the circumstances
    /// are `method` (`tools/call`) and `path`.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// How often tools may be called.
    pub limits: Option<ToolLimits>,
    /// Counts calls of tools, as `tools.calls`; one that reached no server is given back.
    pub quota: Option<Arc<dyn Quota>>,
    /// Redacts what servers answer to `tools/call`, `resources/read` and `prompts/get`, their errors, and what
    /// they say meanwhile. What it refuses, the caller does not get.
    pub redactor: Option<Arc<dyn Redactor>>,
}

/// Calls a minute of each tenant, all its principals together.
#[derive(Debug, Clone)]
pub struct ToolLimits {
    /// What decides.
    pub limiter: Arc<dyn RateLimiter>,
    /// Of these tools, by `server__name`.
    pub tools: BTreeMap<String, NonZeroU32>,
    /// Of each other tool. Those that no server lists share it.
    pub each: Option<NonZeroU32>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) fault: Fault,
    /// What a guard refused with: status and headers of a response that is nothing else.
    guard: Option<Error>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, guard: None }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { fault: Fault::from(&error), guard: Some(error) }
    }
}

impl Refusal {
    /// Whether the caller may not, rather than that something failed.
    pub(super) fn is_denial(&self) -> bool {
        let kind = self.guard.as_ref().map(Error::kind);
        matches!(kind, Some(ErrorKind::PermissionDenied | ErrorKind::RateLimited))
    }

    /// Status and headers, where a guard refused.
    pub(super) fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        const JSON: &str = "application/json";
        let error = self.guard.as_ref()?;
        let (mut head, _) =
            error_response(error, None, &Challenge::default(), |_, _| (JSON, Bytes::new())).into_parts();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        Some((head.status, head.headers))
    }
}

impl Shared {
    /// Asks whether a list may be read.
    pub(super) async fn may_list(&self, caller: &Caller, kind: Kind) -> Result<(), Refusal> {
        const TOOLS: Action = Action::constant("tools:list");
        const RESOURCES: Action = Action::constant("resources:list");
        const PROMPTS: Action = Action::constant("prompts:list");
        let action = match kind {
            Kind::Tools => TOOLS,
            Kind::Resources | Kind::Templates => RESOURCES,
            Kind::Prompts => PROMPTS,
        };
        let method = Method::List(kind);
        match &caller.endpoint {
            Endpoint::Aggregate => self.may(caller, method, action, ("endpoint", "/mcp"), None).await,
            Endpoint::Server(server) => {
                self.may(caller, method, action, ("server", server.as_str()), Some(server)).await
            }
        }
    }

    /// Asks whether a prompt may be got, or completed.
    pub(super) async fn may_get(
        &self,
        caller: &Caller,
        method: Method,
        owner: &Owner,
    ) -> Result<(), Refusal> {
        const GET: Action = Action::constant("prompts:get");
        let name = names::prefixed(&owner.server, &owner.name);
        self.may(caller, method, GET, ("prompt", &name), Some(&owner.server)).await
    }

    /// Asks whether a resource may be read, completed or subscribed to.
    pub(super) async fn may_read(
        &self,
        caller: &Caller,
        method: Method,
        server: &ServerName,
        uri: &str,
    ) -> Result<(), Refusal> {
        const READ: Action = Action::constant("resources:read");
        self.may(caller, method, READ, ("resource", uri), Some(server)).await
    }

    /// Asks whether a tool may be called, now and once more. What was reserved for it is to be
    /// [settled](Self::called).
    pub(super) async fn may_call(
        &self,
        caller: &Caller,
        owner: &Owner,
    ) -> Result<Option<Reservation>, Refusal> {
        const CALL: Action = Action::constant("tools:call");
        let (scope, name) = (&caller.scope, names::prefixed(&owner.server, &owner.name));
        self.may(caller, Method::CallTool, CALL, ("tool", &name), Some(&owner.server)).await?;
        if let Some(limits) = &self.guards.limits
            && let Some(limit) = self.limit_of(limits, scope, owner, &name).await
        {
            let decided = limits.limiter.check(scope, &[limit], NonZeroU32::MIN).await?;
            if let Some(refused) = decided.filter(|decision| !decision.allowed) {
                self.refuse(scope, "limit.denied", &name, "over the tool's calls");
                return Err(refused.refusal().into());
            }
        }
        let Some(quota) = &self.guards.quota else { return Ok(None) };
        match quota.reserve(scope, &Meter::parse(CALLS)?, 1).await {
            Ok(reserved) => Ok(Some(reserved)),
            Err(error) => {
                if error.kind() == ErrorKind::RateLimited {
                    self.refuse(scope, "quota.denied", &name, "over the quota of tools.calls");
                }
                Err(error.into())
            }
        }
    }

    /// Settles what was reserved for a call; one that no server has seen is given back.
    pub(super) async fn called(&self, scope: &Scope, reserved: Option<Reservation>, reached: bool) {
        let (Some(quota), Some(reserved)) = (&self.guards.quota, reserved) else { return };
        if let Err(error) = quota.settle(scope, &reserved, u64::from(reached)).await {
            // It stays counted, and ends with its period.
            tracing::warn!(tenant = %scope.tenant(), error = error.report(), "a tool's call was not settled");
        }
    }

    async fn may(
        &self,
        caller: &Caller,
        method: Method,
        action: Action,
        (kind, id): (&str, &str),
        server: Option<&ServerName>,
    ) -> Result<(), Refusal> {
        let Some(authorizer) = &self.guards.authorizer else { return Ok(()) };
        let scope = &caller.scope;
        let mut resource = Resource::of(scope, kind, id)?;
        if let Some(server) = server {
            resource = resource.with("server", server.as_str());
        }
        let path = match &caller.endpoint {
            Endpoint::Aggregate => Cow::Borrowed("/mcp"),
            Endpoint::Server(server) => Cow::Owned(format!("/mcp/{server}")),
        };
        let access = Access::new(action, resource).with("method", method.as_str()).with("path", &*path);
        authorizer.authorize(scope, &access).await.map_err(Into::into)
    }

    async fn limit_of(&self, limits: &ToolLimits, scope: &Scope, owner: &Owner, name: &str) -> Option<Limit> {
        if let Some(count) = limits.tools.get(name) {
            return Some(Limit::tool(name, *count));
        }
        let each = limits.each?;
        let listed = async {
            let upstream = self.connect(scope, &owner.server).await.ok()?;
            let listing = self.catalog.listing(scope, &upstream, Kind::Tools).await.ok()?;
            listing.find(&owner.name).map(drop)
        };
        let listed = listed.await.is_some() && name.len() <= Limit::MAX_KEY - "tool/".len();
        Some(Limit::tool(if listed { name } else { UNLISTED }, each))
    }

    /// Records that a limit refused a call.
    fn refuse(&self, scope: &Scope, action: &'static str, tool: &str, reason: &'static str) {
        let tool: String = tool.chars().take(200).collect();
        let record = AuditRecord {
            actor: scope.principal().id.to_string(),
            action: action.into(),
            resource: format!("tool/{tool}"),
            outcome: Outcome::Denied,
            request_id: scope.request_id().to_string(),
            detail: json!({ "reason": reason }),
        };
        self.denials.denied(Chain::Tenant(scope.tenant().clone()), record);
    }

    /// What a server answered, without what the tenant's policy wants gone.
    pub(super) async fn redacted(
        &self,
        scope: &Scope,
        method: Method,
        answer: Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        let is_content = matches!(method, Method::CallTool | Method::ReadResource | Method::GetPrompt);
        let Some(redactor) = self.guards.redactor.as_ref().filter(|_| is_content) else { return answer };
        match answer? {
            Answer::Passed(Reply::Result(result)) => {
                Ok(Answer::Passed(Reply::Result(redact(redactor, scope, result).await.map_err(withheld)?)))
            }
            Answer::Passed(Reply::Error(error)) => {
                Ok(Answer::Passed(Reply::Error(redact(redactor, scope, error).await.map_err(withheld)?)))
            }
            own @ Answer::Own(_) => Ok(own),
        }
    }
}

/// What the caller gets in place of an answer that cannot be redacted. The call was made and is not at fault, so
/// it is no refusal of the request.
fn withheld(error: Error) -> Fault {
    let text = format!("what the server answered is withheld: {}", error.message());
    Fault::from(&Error::permission_denied("gateway.redact", text))
}

/// JSON without what the tenant's policy wants gone.
///
/// # Errors
/// As [`Redactor::redact_json`].
pub(super) async fn redact(
    redactor: &Arc<dyn Redactor>,
    scope: &Scope,
    json: Box<RawValue>,
) -> Result<Box<RawValue>> {
    if json.get().len() <= LARGE {
        return redact_now(&**redactor, scope, json);
    }
    let (redactor, scope) = (redactor.clone(), scope.clone());
    let done = tokio::task::spawn_blocking(move || redact_now(&*redactor, &scope, json)).await;
    done.map_err(|error| {
        Error::internal("gateway.redact", "an answer could not be redacted").with_source(error)
    })?
}

fn redact_now(redactor: &dyn Redactor, scope: &Scope, json: Box<RawValue>) -> Result<Box<RawValue>> {
    let redacted = redactor.redact_json(scope, json.get())?;
    let changed = match redacted.text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    };
    Ok(changed.map_or(json, splice::raw))
}

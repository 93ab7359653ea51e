//! Input that a stateless server asks for in its answer, got from the client of a session by requests.

use std::{borrow::Cow, collections::BTreeMap};

use mcp_core::{Result, Scope};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::splice;
use crate::upstream::{Downstream, Reply, Upstream};

/// Times that a server may ask before its call is answered; the answer is an error then.
const MAX_ROUNDS: usize = 16;

/// What came of one answer of a server's.
enum Step {
    /// It asks for nothing.
    Done,
    /// The members of `params` that the call must be repeated with.
    Again(String),
    /// The client refused, with this error.
    Refused(Box<RawValue>),
}

/// An answer that asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(borrow)]
    result_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input_requests: BTreeMap<String, Question<'a>>,
    #[serde(borrow)]
    request_state: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// Calls a stateless server until its answer asks for nothing more.
///
/// # Errors
/// As [`Upstream::call`] and [`Downstream::request`].
///
/// # Cancellation
/// Safe: the server keeps nothing between two calls.
pub(super) async fn call(
    scope: &Scope,
    upstream: &dyn Upstream,
    method: &str,
    params: Option<&RawValue>,
    downstream: &dyn Downstream,
) -> Result<Reply> {
    let mut reply = upstream.call(scope, method, params, downstream).await?;
    for _ in 0..MAX_ROUNDS {
        match answer(&reply, downstream).await? {
            Step::Done => break,
            Step::Refused(error) => return Ok(Reply::Error(error)),
            Step::Again(members) => {
                let params = splice::prepend(params.map_or("{}", RawValue::get), &members);
                reply = upstream.call(scope, method, Some(&splice::raw(params)), downstream).await?;
            }
        }
    }
    Ok(reply)
}

async fn answer(reply: &Reply, downstream: &dyn Downstream) -> Result<Step> {
    let Some(asked) = asked(reply) else { return Ok(Step::Done) };
    let mut responses = Vec::with_capacity(asked.input_requests.len());
    for (key, question) in &asked.input_requests {
        match downstream.request(&question.method, question.params).await? {
            Reply::Result(result) => responses.push(format!("{}:{result}", splice::quoted(key))),
            Reply::Error(error) => return Ok(Step::Refused(error)),
        }
    }
    let mut members = format!("\"inputResponses\":{{{}}}", responses.join(","));
    if let Some(state) = asked.request_state {
        members.push_str(&format!(",\"requestState\":{state}"));
    }
    Ok(Step::Again(members))
}

fn asked(reply: &Reply) -> Option<Asked<'_>> {
    let Reply::Result(result) = reply else { return None };
    memchr::memmem::find(result.get().as_bytes(), b"\"input_required\"")?;
    let asked: Asked<'_> = serde_json::from_str(result.get()).ok()?;
    (asked.result_type.as_deref() == Some("input_required")).then_some(asked)
}

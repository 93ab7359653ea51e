//! The last form of an answer, which depends on the client's version.

use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    body::Body,
    dispatch::Answer,
    guard::Refusal,
    listing,
    method::Method,
    respond,
    shared::{Caller, Shared},
    splice,
};
use crate::{
    jsonrpc::{Fault, code, write},
    upstream::Reply,
};

/// A whole JSON-RPC response, and the HTTP status it has where it is the whole HTTP response.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) message: bytes::Bytes,
    status: StatusCode,
    /// Of a guard's refusal, which limits have figures for.
    headers: HeaderMap,
}

impl Finished {
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = respond::json(self.status, self.message);
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Writes the response to a request.
pub(super) fn finish(
    shared: &Shared,
    caller: &Caller,
    method: Method,
    id: &str,
    answer: Result<Answer, Refusal>,
) -> Finished {
    let is_stateless = caller.client.is_stateless();
    let head = answer.as_ref().err().and_then(Refusal::head);
    let (message, error) = match answer {
        Ok(Answer::Own(result)) if is_stateless => {
            (write::result(id, &stateless(&result, method, shared.ttl_millis())), None)
        }
        Ok(Answer::Own(result)) => (write::result(id, &result), None),
        Ok(Answer::Passed(Reply::Result(result))) if is_stateless => {
            (write::result(id, &stateless(result.get(), method, shared.ttl_millis())), None)
        }
        Ok(Answer::Passed(Reply::Result(result))) => match legacy(&result) {
            Ok(()) => (write::result(id, result.get()), None),
            Err(fault) => (write::fault(Some(id), &fault), Some(fault.code)),
        },
        Ok(Answer::Passed(Reply::Error(error))) => {
            (write::error(Some(id), error.get()), listing::error_code(&error))
        }
        Err(Refusal { fault, .. }) => (write::fault(Some(id), &fault), Some(fault.code)),
    };
    if let Some((status, headers)) = head {
        return Finished { message: message.into(), status, headers };
    }
    let status = match error {
        Some(code::METHOD_NOT_FOUND) if is_stateless => StatusCode::NOT_FOUND,
        Some(code::HEADER_MISMATCH | code::MISSING_CLIENT_CAPABILITY | code::UNSUPPORTED_VERSION)
            if is_stateless =>
        {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    };
    Finished { message: message.into(), status, headers: HeaderMap::new() }
}

/// The members of a result that stateless clients need; what a server wrote of them stays, but for a
/// `cacheScope` wider than the tenant.
fn stateless(result: &str, method: Method, ttl_millis: u64) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Members<'a> {
        #[serde(borrow)]
        result_type: Option<&'a RawValue>,
        #[serde(borrow)]
        ttl_ms: Option<&'a RawValue>,
        #[serde(borrow)]
        cache_scope: Option<&'a RawValue>,
    }
    // What is no object, or names a member twice, passes as it is: it is the server's fault to show.
    let Ok(members) = serde_json::from_str::<Members<'_>>(result) else { return result.to_owned() };
    let mut missing = Vec::new();
    if members.result_type.is_none() {
        missing.push("\"resultType\":\"complete\"".to_owned());
    }
    let mut narrowed = None;
    if method.is_cacheable() {
        if members.ttl_ms.is_none() {
            missing
                .push(format!("\"ttlMs\":{}", if method == Method::ReadResource { 0 } else { ttl_millis }));
        }
        match members.cache_scope {
            None => missing.push("\"cacheScope\":\"private\"".to_owned()),
            Some(scope) if scope.get() != "\"private\"" => {
                narrowed = Some(splice::replace(result, splice::span(result, scope.get()), "\"private\""));
            }
            Some(_) => {}
        }
    }
    splice::prepend(narrowed.as_deref().unwrap_or(result), &missing.join(","))
}

/// Checks that a client with a session can understand a result.
///
/// # Errors
/// The fault to answer with when the server still waits for input.
fn legacy(result: &RawValue) -> Result<(), Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed<'a> {
        #[serde(borrow)]
        result_type: Option<std::borrow::Cow<'a, str>>,
    }
    if memchr::memmem::find(result.get().as_bytes(), b"\"input_required\"").is_none() {
        return Ok(());
    }
    match serde_json::from_str::<Typed<'_>>(result.get()) {
        Ok(typed) if typed.result_type.as_deref() == Some("input_required") => Err(Fault::new(
            code::INTERNAL_ERROR,
            "the server goes on asking for input, or asks in a form that this version does not have",
        )
        .with_data(json!({ "code": "unsupported" }))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added() {
        let call = |text: &str| stateless(text, Method::CallTool, 9);
        assert_eq!(call(r#"{"content":[ ]}"#), r#"{"resultType":"complete","content":[ ]}"#);
        let whole = r#"{ "resultType":"input_required" , "x": 1.0 }"#;
        assert_eq!(call(whole), whole);
        assert_eq!(call("7"), "7");
    }

    #[test]
    fn a_cache_shared_between_tenants_is_never_allowed() {
        let list = |text: &str| stateless(text, Method::List(listing::Kind::Tools), 9);
        assert_eq!(
            list(r#"{"tools":[]}"#),
            r#"{"resultType":"complete","ttlMs":9,"cacheScope":"private","tools":[]}"#
        );
        assert_eq!(
            list(r#"{"resultType":"complete","ttlMs":5,"cacheScope":"public"}"#),
            r#"{"resultType":"complete","ttlMs":5,"cacheScope":"private"}"#
        );
    }

    #[test]
    fn input_that_cannot_be_given_is_an_error() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(legacy(&raw(r#"{"resultType":"input_required","inputRequests":{}}"#)).is_err());
        assert!(legacy(&raw(r#"{"content":[{"text":"\"input_required\""}]}"#)).is_ok());
    }
}

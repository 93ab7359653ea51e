//! Errors as JavaScript's: `code` is the kind.

use mcp_core::Error;
use mcp_platform::embedded::Failure;
use napi::bindgen_prelude::{Env, JsObjectValue as _, JsValue as _};
use napi_derive::napi;

/// What a call throws or its promise is rejected with: an `Error` with `code`, `retry`, `operation`, `details`.
pub(crate) fn thrown(env: &Env, error: &Error) -> napi::Error {
    build(env, Failure::from(error)).unwrap_or_else(|failed| failed)
}

fn build(env: &Env, failure: Failure) -> napi::Result<napi::Error> {
    let mut object = env.create_error(napi::Error::from_reason(failure.message))?;
    object.set_named_property("name", "McpPlatformError")?;
    object.set_named_property("code", failure.kind)?;
    object.set_named_property("retry", failure.retry)?;
    object.set_named_property("operation", failure.operation)?;
    object.set_named_property("details", failure.details)?;
    Ok(napi::Error::from(object.to_unknown()))
}

/// The names of all kinds, which are all the codes.
#[napi(js_name = "_kinds", skip_typescript)]
pub fn kinds() -> Vec<&'static str> {
    Failure::kinds().collect()
}

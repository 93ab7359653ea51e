//! From Rust futures to promises. A call runs on the threads of Node-API's runtime, never on JavaScript's.
//!
//! Plain objects cross as what `JSON.stringify` writes and `JSON.parse` reads, so that numbers and the order of
//! members stay as they were.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use mcp_core::{Error, Result, strict};
use napi::bindgen_prelude::{Env, Function, JsObjectValue as _, Object, PromiseRaw, ToNapiValue, Unknown};
use serde::{Serialize, de::DeserializeOwned};

use crate::error;

/// The promise of a call.
pub(crate) fn promise<'env, T>(
    env: &'env Env,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> napi::Result<PromiseRaw<'env, T>>
where
    T: ToNapiValue + Send + 'static,
{
    env.spawn_future_with_callback(contained(call), |env, result| {
        result.map_err(|error| error::thrown(env, &error))
    })
}

/// The promise of a call whose result is plain.
pub(crate) fn promise_plain<'env, T>(
    env: &'env Env,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> napi::Result<PromiseRaw<'env, Unknown<'env>>>
where
    T: Serialize + 'static,
{
    let call = async move {
        serde_json::to_string(&call.await?)
            .map_err(|error| Error::internal("binding.json", "a result cannot be written").with_source(error))
    };
    env.spawn_future_with_callback(contained(call), |env, result| {
        let text = result.map_err(|error| error::thrown(env, &error))?;
        json::<String, Unknown<'_>>(env, "parse")?.call(text)
    })
}

/// An argument as JSON text; what is missing is an empty object.
pub(crate) fn text(env: &Env, argument: Option<Unknown<'_>>) -> napi::Result<String> {
    let Some(argument) = argument else { return Ok("{}".to_owned()) };
    let text: Option<String> = json::<Unknown<'_>, _>(env, "stringify")?.call(argument)?;
    Ok(text.unwrap_or_else(|| "null".to_owned()))
}

/// An argument from its JSON text.
pub(crate) fn read<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    strict::from_json(name, text)
}

fn json<'env, A, R>(env: &'env Env, function: &str) -> napi::Result<Function<'env, A, R>>
where
    A: napi::bindgen_prelude::JsValuesTupleIntoVec,
    R: napi::bindgen_prelude::FromNapiValue,
{
    env.get_global()?.get_named_property::<Object<'_>>("JSON")?.get_named_property(function)
}

/// The call, with a panic as an error like others.
async fn contained<T>(call: impl Future<Output = Result<T>>) -> napi::Result<Result<T>> {
    let result = AssertUnwindSafe(call).catch_unwind().await;
    Ok(result.unwrap_or_else(|_| {
        let message = "the platform met a defect of its own; its log says where";
        Err(Error::internal("binding.call", message))
    }))
}

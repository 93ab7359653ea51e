//! What is about to be stored, without what its tenant's policy wants gone.

use std::{borrow::Cow, sync::Arc};

use mcp_core::{Error, Result, Scope, error::Detail, redact::Redactor};
use serde_json::{Map, Value};

/// So many bytes are redacted where the caller is; more of them on a thread for blocking work.
const LARGE: usize = 16 * 1024;

/// Runs `work`, which redacts so many bytes.
pub(crate) async fn redacted<T: Send + 'static>(
    redactor: &Arc<dyn Redactor>,
    scope: &Scope,
    bytes: usize,
    work: impl FnOnce(&dyn Redactor, &Scope) -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= LARGE {
        return work(&**redactor, scope);
    }
    let (redactor, scope) = (Arc::clone(redactor), scope.clone());
    let done = tokio::task::spawn_blocking(move || work(&*redactor, &scope)).await;
    done.map_err(|error| {
        Error::internal("context.redact", "a text could not be redacted").with_source(error)
    })?
}

/// The text of the field `path`.
pub(crate) fn text(redactor: &dyn Redactor, scope: &Scope, path: &str, text: String) -> Result<String> {
    let redacted = redactor.redact(scope, &text).map_err(|error| of(error, path))?;
    let changed = match redacted.text {
        Cow::Borrowed(_) => None,
        Cow::Owned(changed) => Some(changed),
    };
    Ok(changed.unwrap_or(text))
}

/// The value of the field `path`.
pub(crate) fn value(redactor: &dyn Redactor, scope: &Scope, path: &str, mut value: Value) -> Result<Value> {
    redactor.redact_value(scope, &mut value).map_err(|error| of(error, path))?;
    Ok(value)
}

/// The object of the field `path`.
pub(crate) fn object(
    redactor: &dyn Redactor,
    scope: &Scope,
    path: &str,
    object: Map<String, Value>,
) -> Result<Map<String, Value>> {
    match value(redactor, scope, path, Value::Object(object))? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::internal("context.redact", "a redactor made something else of an object")),
    }
}

fn of(error: Error, path: &str) -> Error {
    error.with_detail(Detail::Field { path: path.to_owned(), nearest: None })
}

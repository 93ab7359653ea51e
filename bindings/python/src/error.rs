//! Errors as exceptions: `mcp_platform.errors` has a class for each kind.

use mcp_core::Error;
use mcp_platform::embedded::Failure;
use pyo3::{intern, prelude::*};

/// The exception that `error` is.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let build = || {
        let failure = serde_json::to_string(&Failure::from(error)).unwrap_or_default();
        py.import(intern!(py, "mcp_platform.errors"))?.call_method1(intern!(py, "of_failure"), (failure,))
    };
    build().map_or_else(|failed: PyErr| failed, PyErr::from_value)
}

/// The names of all kinds: there is a class for each.
#[pyfunction]
#[pyo3(name = "_kinds")]
pub(crate) fn kinds() -> Vec<&'static str> {
    Failure::kinds().collect()
}

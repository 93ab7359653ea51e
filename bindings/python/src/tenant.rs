//! A tenant's side.

use mcp_platform::embedded::TenantHandle;
use pyo3::prelude::*;

use crate::bridge::{awaitable, json, read};

/// A tenant, as the principal of its key.
#[pyclass(frozen, module = "mcp_platform._native")]
pub(crate) struct Tenant(pub(crate) TenantHandle);

#[pymethods]
impl Tenant {
    #[getter]
    fn id(&self) -> &str {
        self.0.id().as_str()
    }

    #[getter]
    fn principal(&self) -> &str {
        self.0.principal().as_str()
    }

    fn list_tools<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move { json(&tenant.list_tools().await?) })
    }

    fn call_tool<'py>(
        &self,
        py: Python<'py>,
        name: String,
        arguments: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move { json(&tenant.call_tool(&name, &read("arguments", &arguments)?).await?) })
    }
}

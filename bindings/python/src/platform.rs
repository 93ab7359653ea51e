//! The operator's side.

use mcp_platform::embedded::{Embedded, Options};
use pyo3::prelude::*;

use crate::{
    bridge::{awaitable, json},
    process,
    tenant::Tenant,
};

/// Opens a platform; `options` is JSON as [`Options::parse`] reads it.
#[pyfunction]
pub(crate) fn open(py: Python<'_>, options: String) -> PyResult<Bound<'_, PyAny>> {
    awaitable(py, async move {
        let platform = Embedded::open(Options::parse(&options)?).await?;
        process::keep(&platform);
        Ok(Platform(platform))
    })
}

/// An open platform.
#[pyclass(frozen, module = "mcp_platform._native")]
pub(crate) struct Platform(Embedded);

#[pymethods]
impl Platform {
    fn create_tenant<'py>(&self, py: Python<'py>, id: String, name: String) -> PyResult<Bound<'py, PyAny>> {
        let platform = self.0.clone();
        awaitable(py, async move { json(&platform.create_tenant(&id, &name).await?) })
    }

    fn create_key<'py>(
        &self,
        py: Python<'py>,
        tenant: String,
        name: String,
        principal: String,
        permissions: Vec<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let platform = self.0.clone();
        awaitable(py, async move {
            let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
            let key = platform.create_key(&tenant, &name, &principal, &permissions).await?;
            Ok(key.expose().clone())
        })
    }

    fn mount<'py>(&self, py: Python<'py>, name: String, server: String) -> PyResult<Bound<'py, PyAny>> {
        let platform = self.0.clone();
        awaitable(py, async move { platform.mount(&name, &server).await })
    }

    fn tenant<'py>(&self, py: Python<'py>, key: String) -> PyResult<Bound<'py, PyAny>> {
        let platform = self.0.clone();
        awaitable(py, async move { platform.tenant(&key).await.map(Tenant) })
    }

    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let platform = self.0.clone();
        awaitable(py, async move {
            platform.close().await;
            process::let_go();
            Ok(())
        })
    }
}

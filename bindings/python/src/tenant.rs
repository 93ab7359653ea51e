//! A tenant's side.

use mcp_platform::embedded::{ContextFilter, TenantHandle};
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

    fn create_context<'py>(&self, py: Python<'py>, new: String) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move { json(&tenant.create_context(&read("context", &new)?).await?) })
    }

    #[pyo3(signature = (id, messages))]
    fn read_context<'py>(
        &self,
        py: Python<'py>,
        id: String,
        messages: Option<u32>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move { json(&tenant.read_context(&id, messages).await?) })
    }

    #[pyo3(signature = (user_id, session_id, cursor, limit))]
    fn list_contexts<'py>(
        &self,
        py: Python<'py>,
        user_id: Option<String>,
        session_id: Option<String>,
        cursor: Option<String>,
        limit: Option<u32>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        let filter = ContextFilter { user_id, session_id, cursor, limit };
        awaitable(py, async move { json(&tenant.list_contexts(&filter).await?) })
    }

    #[pyo3(signature = (id, messages, expected_version, idempotency_key))]
    fn append<'py>(
        &self,
        py: Python<'py>,
        id: String,
        messages: String,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move {
            let (messages, key) = (read("messages", &messages)?, idempotency_key.as_deref());
            json(&tenant.append(&id, &messages, expected_version, key).await?)
        })
    }

    fn patch_context<'py>(
        &self,
        py: Python<'py>,
        id: String,
        patch: String,
        expected_version: i64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move {
            json(&tenant.patch_context(&id, &read("patch", &patch)?, expected_version).await?)
        })
    }

    #[pyo3(signature = (id, expected_version))]
    fn delete_context<'py>(
        &self,
        py: Python<'py>,
        id: String,
        expected_version: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move { tenant.delete_context(&id, expected_version).await })
    }

    fn remember<'py>(
        &self,
        py: Python<'py>,
        namespace: String,
        text: String,
        metadata: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move {
            json(&tenant.remember(&namespace, &text, &read("metadata", &metadata)?).await?)
        })
    }

    #[pyo3(signature = (namespace, query, limit))]
    fn recall<'py>(
        &self,
        py: Python<'py>,
        namespace: String,
        query: String,
        limit: Option<u32>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move { json(&tenant.recall(&namespace, &query, limit).await?) })
    }

    #[pyo3(signature = (texts, model))]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
        model: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tenant = self.0.clone();
        awaitable(py, async move {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            tenant.embed(&texts, model.as_deref()).await
        })
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

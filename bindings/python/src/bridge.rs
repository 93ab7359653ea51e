//! From Rust futures to asyncio's.
//!
//! A call runs on the runtime's threads, which never hold the GIL. Its result goes to one thread that takes the
//! GIL, makes Python objects of what has gathered, and hands them to their event loops. A future that is
//! cancelled in Python drops the call in Rust.

use std::{
    future::Future,
    io,
    panic::AssertUnwindSafe,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
};

use futures_util::FutureExt as _;
use mcp_core::{Error, Result, strict};
use pyo3::{IntoPyObjectExt as _, intern, prelude::*};
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{error, process};

/// The asyncio future, of the running loop, of a call.
pub(crate) fn awaitable<'py, T>(
    py: Python<'py>,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'object> IntoPyObject<'object> + Send + 'static,
{
    let (runtime, results) = machinery().map_err(|error| error::exception(py, &error))?;
    let event_loop = py.import(intern!(py, "asyncio"))?.call_method0(intern!(py, "get_running_loop"))?;
    let future = event_loop.call_method0(intern!(py, "create_future"))?;
    let over = CancellationToken::new();
    future.call_method1(intern!(py, "add_done_callback"), (Over(over.clone()),))?;

    let (event_loop, waiting) = (event_loop.unbind(), future.clone().unbind());
    runtime.spawn(async move {
        let call = over.run_until_cancelled(AssertUnwindSafe(call).catch_unwind()).await;
        let make = call.map(|result| -> Make {
            let result = result.unwrap_or_else(|_| Err(defect()));
            Box::new(move |py| match result {
                Ok(value) => value.into_py_any(py),
                Err(error) => Err(error::exception(py, &error)),
            })
        });
        // Where nobody delivers any more, the interpreter is ending.
        let _ = results.send(Settled { event_loop, waiting, make });
    });
    Ok(future)
}

/// A result's JSON text.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal("binding.json", "a result cannot be written").with_source(error))
}

/// An argument from its JSON text.
pub(crate) fn read<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    strict::from_json(name, text)
}

/// Waits for a call where there is no event loop; other Python threads go on meanwhile.
pub(crate) fn wait(py: Python<'_>, call: impl Future<Output = ()> + Send) -> PyResult<()> {
    let (runtime, _) = machinery().map_err(|error| error::exception(py, &error))?;
    py.detach(|| runtime.block_on(call));
    Ok(())
}

/// Makes the result's object, or the exception.
type Make = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// A call that has ended.
struct Settled {
    event_loop: Py<PyAny>,
    waiting: Py<PyAny>,
    /// `None` for one that was cancelled. It is delivered all the same, as its objects are freed under the GIL.
    make: Option<Make>,
}

impl Settled {
    fn deliver(self, py: Python<'_>) {
        let Some(make) = self.make else { return };
        let (failed, value) = match make(py) {
            Ok(value) => (false, value),
            Err(error) => (true, error.into_value(py).into_any()),
        };
        let delivered = wrap_pyfunction!(settle, py).and_then(|settle| {
            let arguments = (settle, self.waiting, failed, value);
            self.event_loop.call_method1(py, intern!(py, "call_soon_threadsafe"), arguments)
        });
        // A loop that is closed has nobody left who waits.
        drop(delivered);
    }
}

/// Ends a future in its own loop, unless it was cancelled in the meantime.
#[pyfunction]
#[pyo3(name = "_settle")]
fn settle(future: &Bound<'_, PyAny>, failed: bool, value: Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    let method = if failed { intern!(py, "set_exception") } else { intern!(py, "set_result") };
    future.call_method1(method, (value,)).map(drop)
}

/// What a future calls when it is done: where it was cancelled, the call is dropped.
#[pyclass(frozen)]
struct Over(CancellationToken);

#[pymethods]
impl Over {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.0.cancel();
    }
}

/// The runtime and the way to the thread that delivers; both last as long as the process.
fn machinery() -> Result<(Handle, Sender<Settled>)> {
    // Never held by another thread at a fork, as forking takes the GIL too.
    static MACHINERY: Mutex<Option<(Runtime, Sender<Settled>)>> = Mutex::new(None);
    process::claim()?;
    let mut machinery = MACHINERY.lock().unwrap_or_else(PoisonError::into_inner);
    if machinery.is_none() {
        *machinery = Some(start().map_err(|error| {
            Error::unavailable("binding.start", "the threads of the platform cannot be started")
                .with_source(error)
        })?);
    }
    match &*machinery {
        Some((runtime, results)) => Ok((runtime.handle().clone(), results.clone())),
        None => Err(defect()),
    }
}

fn start() -> io::Result<(Runtime, Sender<Settled>)> {
    let runtime = Builder::new_multi_thread().enable_all().thread_name("mcp-platform").build()?;
    // As long as there are calls whose results Python waits for.
    let (results, gathered) = mpsc::channel();
    std::thread::Builder::new()
        .name("mcp-platform-results".to_owned())
        .spawn(move || deliver_all(&gathered))?;
    Ok((runtime, results))
}

fn deliver_all(gathered: &Receiver<Settled>) {
    while let Ok(first) = gathered.recv() {
        // None where the interpreter is ending.
        let _ = Python::try_attach(|py| {
            first.deliver(py);
            gathered.try_iter().for_each(|next| next.deliver(py));
        });
    }
}

fn defect() -> Error {
    Error::internal("binding.call", "the platform met a defect of its own; its log says where")
}

//! The Python package `mcp_platform`, compiled half: [`mcp_platform::embedded`] for asyncio.
//!
//! Every call makes an asyncio future (`bridge`), of which the Python half makes a coroutine with types.
//! Arguments and results that have no type of Python's own cross as JSON text. There is no logic here.

mod bridge;
mod error;
mod platform;
mod process;
mod tenant;

use pyo3::prelude::*;

/// What `mcp_platform` is made of; its Python half is what programs use.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        error::kinds,
        platform::{Platform, open},
        process::{close_all, run_launcher},
        tenant::Tenant,
    };
}

//! The vector indexes that semantic memory is tested with.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::Arc;

use mcp_context::vector::{LocalConfig, LocalVectorIndex, VectorIndex};

pub(crate) fn exact() -> Arc<dyn VectorIndex> {
    Arc::new(LocalVectorIndex::exact(LocalConfig::default()).unwrap())
}

/// One that uses its graph from the first vector on.
#[cfg(feature = "usearch")]
pub(crate) fn graph() -> Arc<dyn VectorIndex> {
    let config = LocalConfig { exact_up_to: 0, threads: 4, ..LocalConfig::default() };
    Arc::new(LocalVectorIndex::usearch(config).unwrap())
}

pub(crate) const ALL: &[fn() -> Arc<dyn VectorIndex>] = &[
    exact,
    #[cfg(feature = "usearch")]
    graph,
];

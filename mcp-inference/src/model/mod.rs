//! Models in process: named tensors in, named tensors out.

#[cfg(feature = "onnx")]
mod folder;
mod manifest;
mod metadata;
#[cfg(feature = "onnx")]
pub mod onnx;
mod registry;
mod tensor;

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, Result, Scope, error::Detail};

pub use manifest::{EmbeddingSpec, Manifest, ManifestFile, Pooling};
pub use metadata::{Dimension, ModelMetadata, TensorSpec};
pub use registry::{ModelEntry, ModelRegistry};
pub use tensor::{Datatype, Tensor, TensorData};

/// A model that computes tensors from tensors.
///
/// Promises of every backend, each a case of the tests of this crate:
/// 1. [`metadata`](Self::metadata) never changes, and names every input and output.
/// 2. Inputs may come in any order; outputs are those of the metadata, in its order, of its types and shapes.
/// 3. A missing, unknown, doubled, wrongly typed or wrongly shaped input is refused before anything is
///    computed, with `InvalidInput` that names the tensor and what is expected.
/// 4. Equal inputs give equal outputs, whatever else is computed at the time, and for whichever tenant.
/// 5. A scope whose deadline has passed gets `DeadlineExceeded`.
/// 6. The computation never runs on the caller's thread.
#[async_trait]
pub trait Model: Send + Sync + fmt::Debug {
    /// What the model is and takes and gives.
    fn metadata(&self) -> &ModelMetadata;

    /// The outputs for these inputs.
    ///
    /// # Errors
    /// `InvalidInput` that names the tensor; `DeadlineExceeded`; `Unavailable` when too much waits already.
    ///
    /// # Cancellation
    /// Safe. A computation that has begun ends unseen; one that has not is left out.
    async fn infer(&self, scope: &Scope, inputs: Vec<Tensor>) -> Result<Vec<Tensor>>;
}

/// A refusal of the tensor `name`.
fn input_error(name: &str, message: String) -> Error {
    Error::invalid_input("model.infer", message)
        .with_detail(Detail::Field { path: name.to_owned(), nearest: None })
}

//! ONNX models, computed by tract on threads of their own.

mod convert;
mod load;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mcp_core::{Error, Result, Scope};
use tract_onnx::prelude::{TValue, TVec, TypedRunnableModel};

use super::{Manifest, Model, ModelMetadata, Tensor};
use crate::cpu::CpuPool;

/// A loaded ONNX model. Each computation uses one thread of the pool.
pub struct OnnxModel {
    metadata: ModelMetadata,
    plan: Arc<TypedRunnableModel>,
    pool: CpuPool,
}

impl OnnxModel {
    /// Loads the model of `manifest` from the bytes of its ONNX file. Blocks: call it on a thread for that.
    ///
    /// # Errors
    /// `Corrupted` for bytes of another SHA-256 than the manifest's; `InvalidInput` for bytes that are no
    /// ONNX model; `Unsupported` for a model that tract cannot compute, or not well, with the reason: every
    /// operator it lacks, or quantised operators, which it computes many times slower than floats.
    pub fn load(manifest: &Manifest, bytes: &[u8], pool: CpuPool) -> Result<Self> {
        manifest.verify(load::FILE, bytes)?;
        let (metadata, plan) = load::load(manifest, bytes)?;
        Ok(Self { metadata, plan, pool })
    }
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxModel").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

#[async_trait]
impl Model for OnnxModel {
    fn metadata(&self) -> &ModelMetadata {
        &self.metadata
    }

    async fn infer(&self, scope: &Scope, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let inputs = self.metadata.arrange(inputs)?;
        let (plan, outputs) = (Arc::clone(&self.plan), self.metadata.outputs.clone());
        let name = self.metadata.name.clone();
        let computed = self.pool.run(scope, move || {
            let inputs: TVec<TValue> = inputs.iter().map(convert::into_tract).collect::<Result<_>>()?;
            let values = plan.run(inputs).map_err(|error| {
                let message = format!("model `{name}` cannot compute these inputs");
                Error::invalid_input("model.infer", message).with_source(error.into_boxed_dyn_error())
            })?;
            outputs.iter().zip(values).map(|(spec, value)| convert::from_tract(spec, &value)).collect()
        });
        computed.await?
    }
}

//! Between tensors of ours and of tract's.

use mcp_core::{Error, Result};
use tract_onnx::{
    prelude::{Datum, DatumType, IntoTValue, TValue, TractError, TractResult},
    tract_hir::internal::Tensor as TractTensor,
};

use super::super::{Datatype, Tensor, TensorData, TensorSpec};

/// The type that tract calls by another name; none for those the protocol has no JSON for.
pub(super) fn datatype(of: DatumType) -> Option<Datatype> {
    Some(match of {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        DatumType::I64 => Datatype::Int64,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        // Sizes computed from shapes leave the graph as plain integers.
        DatumType::TDim => Datatype::Int64,
        _ => return None,
    })
}

pub(super) fn into_tract(tensor: &Tensor) -> Result<TValue> {
    let shape = tensor.shape();
    let made = match tensor.data() {
        TensorData::Bool(values) => TractTensor::from_shape(shape, values),
        TensorData::Uint8(values) => TractTensor::from_shape(shape, values),
        TensorData::Uint16(values) => TractTensor::from_shape(shape, values),
        TensorData::Uint32(values) => TractTensor::from_shape(shape, values),
        TensorData::Uint64(values) => TractTensor::from_shape(shape, values),
        TensorData::Int8(values) => TractTensor::from_shape(shape, values),
        TensorData::Int16(values) => TractTensor::from_shape(shape, values),
        TensorData::Int32(values) => TractTensor::from_shape(shape, values),
        TensorData::Int64(values) => TractTensor::from_shape(shape, values),
        TensorData::Fp32(values) => TractTensor::from_shape(shape, values),
        TensorData::Fp64(values) => TractTensor::from_shape(shape, values),
    };
    made.map(IntoTValue::into_tvalue).map_err(|error| defect(tensor.name(), error))
}

pub(super) fn from_tract(spec: &TensorSpec, value: &TractTensor) -> Result<Tensor> {
    let data = elements(spec.datatype, value).map_err(|error| defect(&spec.name, error))?;
    Tensor::new(spec.name.clone(), value.shape().to_vec(), data)
}

fn elements(datatype: Datatype, value: &TractTensor) -> TractResult<TensorData> {
    Ok(match datatype {
        Datatype::Bool => copied::<bool>(value)?.into(),
        Datatype::Uint8 => copied::<u8>(value)?.into(),
        Datatype::Uint16 => copied::<u16>(value)?.into(),
        Datatype::Uint32 => copied::<u32>(value)?.into(),
        Datatype::Uint64 => copied::<u64>(value)?.into(),
        Datatype::Int8 => copied::<i8>(value)?.into(),
        Datatype::Int16 => copied::<i16>(value)?.into(),
        Datatype::Int32 => copied::<i32>(value)?.into(),
        // A computed size is an integer by now, and is cast to one.
        Datatype::Int64 => copied::<i64>(&*value.cast_to::<i64>()?)?.into(),
        Datatype::Fp32 => copied::<f32>(value)?.into(),
        Datatype::Fp64 => copied::<f64>(value)?.into(),
    })
}

fn copied<T: Datum + Copy>(value: &TractTensor) -> TractResult<Vec<T>> {
    Ok(value.to_plain_array_view::<T>()?.iter().copied().collect())
}

fn defect(name: &str, error: TractError) -> Error {
    Error::internal("model.infer", format!("tensor `{name}` cannot be converted"))
        .with_source(error.into_boxed_dyn_error())
}

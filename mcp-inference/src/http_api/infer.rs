//! `/v2/models/{model}/infer`.

use axum::{Extension, extract::State};
use mcp_core::{
    Error, Result, Scope,
    error::Detail,
    http_api::{ApiError, Body, Json, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{InferenceApi, counted::counted};
use crate::model::{Datatype, Tensor, TensorData};

/// Deepest nesting of `data`: one level an axis.
const MAX_RANK: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InferRequest {
    id: Option<String>,
    inputs: Vec<Input>,
    /// The outputs that are wanted; without it, all.
    #[serde(default)]
    outputs: Vec<WantedOutput>,
    /// Of the protocol; none of them is known here.
    #[serde(default, rename = "parameters")]
    _parameters: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Value,
    #[serde(default, rename = "parameters")]
    _parameters: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedOutput {
    name: String,
    #[serde(default, rename = "parameters")]
    _parameters: Map<String, Value>,
}

#[derive(Debug, Serialize)]
pub(super) struct InferAnswer {
    model_name: String,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Value>,
}

pub(super) async fn latest(
    state: State<InferenceApi>,
    scope: Extension<Scope>,
    Path(name): Path<String>,
    Body(request): Body<InferRequest>,
) -> Result<Json<InferAnswer>, ApiError> {
    infer(&state, &scope, &name, None, request).await
}

pub(super) async fn version(
    state: State<InferenceApi>,
    scope: Extension<Scope>,
    Path((name, version)): Path<(String, String)>,
    Body(request): Body<InferRequest>,
) -> Result<Json<InferAnswer>, ApiError> {
    infer(&state, &scope, &name, Some(&version), request).await
}

async fn infer(
    api: &InferenceApi,
    scope: &Scope,
    name: &str,
    version: Option<&str>,
    request: InferRequest,
) -> Result<Json<InferAnswer>, ApiError> {
    api.require(scope, &format!("model/{name}"))?;
    let model = api.models.model(name, version)?;
    let metadata = model.metadata();
    let known = |wanted: &&WantedOutput| !metadata.outputs.iter().any(|spec| spec.name == wanted.name);
    if let Some(unknown) = request.outputs.iter().find(known) {
        let outputs: Vec<_> = metadata.outputs.iter().map(|spec| spec.name.as_str()).collect();
        let message =
            format!("model `{name}` has no output `{}`; it gives {}", unknown.name, outputs.join(", "));
        return Err(refuse(&unknown.name, message).into());
    }
    let inputs = request.inputs.into_iter().map(read).collect::<Result<_>>()?;
    let outputs = counted("infer", name, model.infer(scope, inputs)).await?;
    let wanted = |tensor: &&Tensor| {
        request.outputs.is_empty() || request.outputs.iter().any(|wanted| wanted.name == tensor.name())
    };
    Ok(Json(InferAnswer {
        model_name: metadata.name.clone(),
        model_version: metadata.version.clone(),
        id: request.id,
        outputs: outputs.iter().filter(wanted).map(write).collect(),
    }))
}

fn read(input: Input) -> Result<Tensor> {
    let Input { name, shape, datatype, data, .. } = input;
    let datatype = Datatype::parse(&datatype).ok_or_else(|| {
        let known: Vec<_> = Datatype::ALL.iter().map(|datatype| datatype.as_str()).collect();
        refuse(&name, format!("input `{name}` is {datatype:?}, which is none of {}", known.join(", ")))
    })?;
    let mut flat = Vec::new();
    if !flatten(&data, MAX_RANK, &mut flat) {
        return Err(refuse(&name, format!("`data` of input `{name}` is no array, or nested too deep")));
    }
    let data = elements(datatype, &flat).ok_or_else(|| {
        let datatype = datatype.as_str();
        refuse(&name, format!("`data` of input `{name}` holds a value that is no {datatype}"))
    })?;
    Tensor::new(name, shape, data)
}

/// The values of an array, whether it is flat or has a level for each axis.
fn flatten<'a>(data: &'a Value, depth: usize, into: &mut Vec<&'a Value>) -> bool {
    let (Value::Array(items), 1..) = (data, depth) else { return false };
    items.iter().all(|item| match item {
        Value::Array(_) => flatten(item, depth - 1, into),
        value => {
            into.push(value);
            true
        }
    })
}

fn elements(datatype: Datatype, values: &[&Value]) -> Option<TensorData> {
    fn unsigned<T: TryFrom<u64>>(values: &[&Value]) -> Option<Vec<T>> {
        values.iter().map(|value| T::try_from(value.as_u64()?).ok()).collect()
    }
    fn signed<T: TryFrom<i64>>(values: &[&Value]) -> Option<Vec<T>> {
        values.iter().map(|value| T::try_from(value.as_i64()?).ok()).collect()
    }
    let floats = || values.iter().map(|value| value.as_f64()).collect::<Option<Vec<f64>>>();
    Some(match datatype {
        Datatype::Bool => values.iter().map(|value| value.as_bool()).collect::<Option<Vec<bool>>>()?.into(),
        Datatype::Uint8 => unsigned::<u8>(values)?.into(),
        Datatype::Uint16 => unsigned::<u16>(values)?.into(),
        Datatype::Uint32 => unsigned::<u32>(values)?.into(),
        Datatype::Uint64 => unsigned::<u64>(values)?.into(),
        Datatype::Int8 => signed::<i8>(values)?.into(),
        Datatype::Int16 => signed::<i16>(values)?.into(),
        Datatype::Int32 => signed::<i32>(values)?.into(),
        Datatype::Int64 => signed::<i64>(values)?.into(),
        Datatype::Fp32 => floats()?.into_iter().map(|value| value as f32).collect::<Vec<f32>>().into(),
        Datatype::Fp64 => floats()?.into(),
    })
}

fn write(tensor: &Tensor) -> Value {
    let data = match tensor.data() {
        TensorData::Bool(values) => json!(values),
        TensorData::Uint8(values) => json!(values),
        TensorData::Uint16(values) => json!(values),
        TensorData::Uint32(values) => json!(values),
        TensorData::Uint64(values) => json!(values),
        TensorData::Int8(values) => json!(values),
        TensorData::Int16(values) => json!(values),
        TensorData::Int32(values) => json!(values),
        TensorData::Int64(values) => json!(values),
        TensorData::Fp32(values) => json!(values),
        TensorData::Fp64(values) => json!(values),
    };
    json!({ "name": tensor.name(), "shape": tensor.shape(), "datatype": tensor.datatype().as_str(), "data": data })
}

fn refuse(name: &str, message: String) -> Error {
    Error::invalid_input("model.infer", message)
        .with_detail(Detail::Field { path: name.to_owned(), nearest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(datatype: &str, shape: &[usize], data: Value) -> Result<Tensor> {
        read(Input {
            name: "x".into(),
            shape: shape.to_vec(),
            datatype: datatype.into(),
            data,
            _parameters: Map::new(),
        })
    }

    #[test]
    fn data_may_be_flat_or_nested() {
        let flat = input("INT64", &[2, 2], json!([1, 2, 3, 4])).unwrap();
        assert_eq!(input("INT64", &[2, 2], json!([[1, 2], [3, 4]])).unwrap(), flat);
        assert_eq!(write(&flat)["data"], json!([1, 2, 3, 4]));
    }

    #[test]
    fn what_is_no_value_of_the_type_is_refused_by_name() {
        let mut deep = json!([1]);
        for _ in 0..MAX_RANK {
            deep = json!([deep]);
        }
        for (datatype, data, wanted) in [
            ("UINT8", json!([256]), "no UINT8"),
            ("INT32", json!([1.5]), "no INT32"),
            ("BOOL", json!([1]), "no BOOL"),
            ("FP32", json!(["1"]), "no FP32"),
            ("FP32", json!([1e300]), "no finite number"),
            ("FP32", json!({}), "is no array"),
            ("FP32", deep, "nested too deep"),
            ("BYTES", json!(["a"]), "none of BOOL"),
            ("INT64", json!([1, 2]), "has 2 elements"),
        ] {
            let error = input(datatype, &[1], data).unwrap_err();
            assert!(
                error.message().contains(wanted) && error.message().contains("`x`"),
                "{wanted:?} not in {error}"
            );
        }
    }
}

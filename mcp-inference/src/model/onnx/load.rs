//! From the bytes of a file to a plan that can be run, or to the reason why not.

use std::{collections::BTreeSet, sync::Arc};

use mcp_core::{Error, ErrorKind, Result};
use tract_onnx::{
    pb::{GraphProto, ModelProto, tensor_proto::DataLocation, tensor_shape_proto::dimension, type_proto},
    prelude::{
        Framework as _, InferenceModelExt as _, IntoRunnable as _, TypedFact, TypedModel, TypedRunnableModel,
    },
};

use super::{
    super::{Dimension, Manifest, ModelMetadata, TensorSpec},
    convert,
};

/// The file of a model's folder that holds its graph.
pub(super) const FILE: &str = "model.onnx";

/// Operators of quantisation at run time, which tract computes 30 to 60 times slower than floats.
const QUANTISED: [&str; 5] =
    ["ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"];

pub(super) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<(ModelMetadata, Arc<TypedRunnableModel>)> {
    let name = &manifest.name;
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut proto = onnx.proto_model_for_read(&mut &*bytes).map_err(|error| {
        Error::invalid_input("model.load", format!("{FILE} of model `{name}` is no ONNX model"))
            .with_source(error.into_boxed_dyn_error())
    })?;
    let operators = check(manifest, &proto)?;
    let known = |operator: &&String| !onnx.op_register.0.contains_key(*operator);
    let missing: Vec<_> = operators.iter().filter(known).map(String::as_str).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(unsupported(format!("model `{name}` needs operators that are not supported: {missing}")));
    }
    fix_dimensions(manifest, &mut proto)?;
    let cannot = |error: tract_onnx::prelude::TractError| {
        // What tract says names nodes of the operator's own model, and is the only way to see what is wrong.
        unsupported(format!("model `{name}` cannot be computed: {error:#}"))
    };
    let names: Vec<_> = given_inputs(&proto).map(|input| input.name.clone()).collect();
    let outputs: Vec<_> = graph(&proto).output.iter().map(|output| output.name.clone()).collect();
    let model = onnx.model_for_proto_model(&proto).map_err(cannot)?;
    let model = model.into_optimized().map_err(cannot)?;
    let metadata = metadata(manifest, &model, &names, &outputs)?;
    Ok((metadata, model.into_runnable().map_err(cannot)?))
}

/// The operators the model uses, unless it is one that is refused whatever they are.
fn check(manifest: &Manifest, proto: &ModelProto) -> Result<BTreeSet<String>> {
    let name = &manifest.name;
    if proto.graph.is_none() {
        return Err(Error::invalid_input("model.load", format!("{FILE} of model `{name}` holds no graph")));
    }
    let mut operators = BTreeSet::new();
    collect(graph(proto), &mut operators);
    let quantised: Vec<_> = QUANTISED.into_iter().filter(|operator| operators.contains(*operator)).collect();
    if !quantised.is_empty() {
        return Err(unsupported(format!(
            "model `{name}` is quantised to int8 ({}), which is computed many times slower than floats here: use its float version",
            quantised.join(", ")
        )));
    }
    let external =
        |tensor: &&tract_onnx::pb::TensorProto| tensor.data_location == Some(DataLocation::External as i32);
    if graph(proto).initializer.iter().any(|tensor| external(&tensor)) {
        return Err(unsupported(format!(
            "model `{name}` keeps weights outside of {FILE}: save it as one file"
        )));
    }
    Ok(operators)
}

/// Every operator of a graph and of the graphs within it.
fn collect(graph: &GraphProto, into: &mut BTreeSet<String>) {
    for node in &graph.node {
        into.insert(node.op_type.clone());
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                collect(inner, into);
            }
        }
    }
}

/// Puts the manifest's sizes where the graph's inputs have names.
fn fix_dimensions(manifest: &Manifest, proto: &mut ModelProto) -> Result<()> {
    let mut left: BTreeSet<&str> = manifest.dimensions.keys().map(String::as_str).collect();
    let inputs = proto.graph.iter_mut().flat_map(|graph| &mut graph.input);
    for input in inputs {
        let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        else {
            continue;
        };
        for dimension in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
            let Some(dimension::Value::DimParam(name)) = &dimension.value else { continue };
            if let Some((name, &size)) = manifest.dimensions.get_key_value(name) {
                left.remove(name.as_str());
                dimension.value = Some(dimension::Value::DimValue(i64::try_from(size).unwrap_or(i64::MAX)));
            }
        }
    }
    match left.first() {
        None => Ok(()),
        Some(unknown) => {
            let message = format!(
                "the manifest of model `{}` sets the dimension `{unknown}`, which no input has",
                manifest.name
            );
            Err(Error::invalid_input("model.load", message))
        }
    }
}

/// The inputs a caller gives: older files list their weights among them.
fn given_inputs(proto: &ModelProto) -> impl Iterator<Item = &tract_onnx::pb::ValueInfoProto> {
    let graph = graph(proto);
    let weights: BTreeSet<_> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.iter().filter(move |input| !weights.contains(input.name.as_str()))
}

fn metadata(
    manifest: &Manifest,
    model: &TypedModel,
    inputs: &[String],
    outputs: &[String],
) -> Result<ModelMetadata> {
    let fault = |error: tract_onnx::prelude::TractError| {
        Error::internal("model.load", "the loaded model cannot be read")
            .with_source(error.into_boxed_dyn_error())
    };
    let input = |(at, name): (usize, &String)| spec(manifest, name, model.input_fact(at).map_err(fault)?);
    let output = |(at, name): (usize, &String)| spec(manifest, name, model.output_fact(at).map_err(fault)?);
    Ok(ModelMetadata {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        platform: "onnx_tract",
        inputs: inputs.iter().enumerate().map(input).collect::<Result<_>>()?,
        outputs: outputs.iter().enumerate().map(output).collect::<Result<_>>()?,
    })
}

fn spec(manifest: &Manifest, name: &str, fact: &TypedFact) -> Result<TensorSpec> {
    let datatype = convert::datatype(fact.datum_type).ok_or_else(|| {
        let (model, found) = (&manifest.name, fact.datum_type);
        unsupported(format!(
            "tensor `{name}` of model `{model}` is of the type {found:?}, which is not supported"
        ))
    })?;
    let dimension = |extent: &tract_onnx::prelude::TDim| match extent.to_string().parse() {
        Ok(size) => Dimension::Fixed(size),
        Err(_) => Dimension::Symbol(extent.to_string()),
    };
    Ok(TensorSpec { name: name.to_owned(), datatype, shape: fact.shape.iter().map(dimension).collect() })
}

fn graph(proto: &ModelProto) -> &GraphProto {
    static EMPTY: GraphProto = GraphProto {
        node: Vec::new(),
        name: String::new(),
        initializer: Vec::new(),
        sparse_initializer: Vec::new(),
        doc_string: String::new(),
        input: Vec::new(),
        output: Vec::new(),
        value_info: Vec::new(),
        quantization_annotation: Vec::new(),
    };
    proto.graph.as_ref().unwrap_or(&EMPTY)
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, "model.load", message)
}

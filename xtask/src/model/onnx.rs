//! The part of the ONNX format that a graph of ours needs, and a builder of such graphs.
//!
//! Field numbers and enumeration values are those of `onnx.proto`, IR version 8.

use std::collections::BTreeSet;

use prost::Message;

/// A tensor's element type, as ONNX numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataType {
    /// 32-bit float.
    Float = 1,
    /// 64-bit integer.
    Int64 = 7,
}

/// A whole model.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetId>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetId {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

/// A parameter of a node.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    float: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    int: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    /// Which of the fields above holds: 1 float, 2 int, 7 ints.
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    /// Little endian.
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "Extent", tags = "1, 2")]
    extent: Option<Extent>,
}

/// How long a tensor is along one axis.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Extent {
    /// So many elements.
    #[prost(int64, tag = "1")]
    Fixed(i64),
    /// As many as the caller gives, the same wherever the name stands.
    #[prost(string, tag = "2")]
    Named(String),
}

/// A float parameter.
pub(super) fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.to_owned(), float: Some(value), kind: 1, ..Attribute::default() }
}

/// An integer parameter.
pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_owned(), int: Some(value), kind: 2, ..Attribute::default() }
}

/// A list of integers.
pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.to_owned(), ints: values.to_vec(), kind: 7, ..Attribute::default() }
}

/// A graph in the making. Each node has one output, named as the node.
#[derive(Debug, Default)]
pub(super) struct GraphBuilder {
    graph: GraphProto,
    constants: BTreeSet<String>,
}

impl GraphBuilder {
    /// A constant of 32-bit floats; one that has the name already stays. Returns the name.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, DataType::Float, raw)
    }

    /// A constant of 64-bit integers in one dimension.
    pub(super) fn indices(&mut self, name: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], DataType::Int64, raw)
    }

    fn constant(&mut self, name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> String {
        if self.constants.insert(name.to_owned()) {
            let dims = dims.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect();
            self.graph.initializer.push(TensorProto {
                dims,
                data_type: kind as i32,
                name: name.to_owned(),
                raw_data,
            });
        }
        name.to_owned()
    }

    /// A node; returns its output.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        name: impl Into<String>,
        attributes: Vec<Attribute>,
    ) -> String {
        let name = name.into();
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        name
    }

    /// Declares what the caller gives.
    pub(super) fn input(&mut self, name: &str, kind: DataType, shape: Vec<Extent>) {
        self.graph.input.push(value(name, kind, shape));
    }

    /// Declares what the caller gets.
    pub(super) fn output(&mut self, name: &str, kind: DataType, shape: Vec<Extent>) {
        self.graph.output.push(value(name, kind, shape));
    }

    /// The model as a file's bytes, for operator set `opset`.
    pub(super) fn encode(mut self, name: &str, opset: i64) -> Vec<u8> {
        self.graph.name = name.to_owned();
        ModelProto {
            ir_version: 8,
            producer_name: "mcp-platform".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetId { version: opset }],
        }
        .encode_to_vec()
    }
}

fn value(name: &str, kind: DataType, shape: Vec<Extent>) -> ValueInfo {
    let dim = shape.into_iter().map(|extent| Dimension { extent: Some(extent) }).collect();
    let tensor = TensorType { element: kind as i32, shape: Some(Shape { dim }) };
    ValueInfo { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_that_is_named_twice_is_written_once() {
        let mut graph = GraphBuilder::default();
        for _ in 0..2 {
            graph.indices("axes", &[1]);
        }
        let model = ModelProto::decode(graph.encode("g", 17).as_slice()).unwrap();
        assert_eq!(model.graph.unwrap().initializer.len(), 1);
        assert_eq!(model.opset_import[0].version, 17);
    }

    #[test]
    fn fields_have_the_numbers_of_the_format() {
        let mut graph = GraphBuilder::default();
        graph.input("x", DataType::Int64, vec![Extent::Named("batch".into()), Extent::Fixed(3)]);
        let bytes = graph.encode("g", 17);
        // ir_version = 8, producer_name, graph { name, input { name, tensor_type { elem_type, shape } } }, opset.
        let graph = b"\x12\x01g\x5a\x18\x0a\x01x\x12\x13\x0a\x11\x08\x07\x12\x0d\x0a\x07\x12\x05batch\x0a\x02\x08\x03";
        let graph = [&b"\x3a"[..], &[u8::try_from(graph.len()).unwrap()], graph].concat();
        let expected = [b"\x08\x08\x12\x0cmcp-platform".as_slice(), &graph, b"\x42\x02\x10\x11"].concat();
        assert_eq!(bytes, expected, "{bytes:02x?}");
    }
}

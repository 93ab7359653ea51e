//! What a model takes and gives, and whether inputs fit.

use std::{collections::BTreeMap, fmt};

use mcp_core::{Error, Result, strict};

use super::{Datatype, Tensor, input_error};

/// What a model is and takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelMetadata {
    /// Its name in the registry.
    pub name: String,
    /// Its version in the registry.
    pub version: String,
    /// What computes it, as in `onnx_tract`.
    pub platform: &'static str,
    /// What it takes; all of them are needed.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
}

/// The name, type and shape of one input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the model.
    pub name: String,
    /// Its elements' type.
    pub datatype: Datatype,
    /// Elements along each axis.
    pub shape: Vec<Dimension>,
}

/// How long a tensor is along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// So many elements.
    Fixed(usize),
    /// As many as the caller gives, at least one; equal wherever the same name stands.
    Symbol(String),
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(extent) => write!(f, "{extent}"),
            Self::Symbol(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TensorSpec {
    /// `FP32 [batch, 384]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<_> = self.shape.iter().map(ToString::to_string).collect();
        write!(f, "{} [{}]", self.datatype.as_str(), shape.join(", "))
    }
}

impl ModelMetadata {
    /// The inputs in the model's order, each of the type and shape it asks for.
    ///
    /// # Errors
    /// `InvalidInput` that names the tensor, what it is and what the model expects; for an unknown name the
    /// nearest.
    pub fn arrange(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let mut given: BTreeMap<String, Tensor> = BTreeMap::new();
        for input in inputs {
            if !self.inputs.iter().any(|spec| spec.name == input.name()) {
                return Err(self.unknown(input.name()));
            }
            let name = input.name().to_owned();
            if given.insert(name.clone(), input).is_some() {
                return Err(input_error(&name, format!("input `{name}` is given twice")));
            }
        }
        let mut symbols = BTreeMap::new();
        let arranged = self.inputs.iter().map(|spec| {
            let name = &spec.name;
            let input = given
                .remove(name)
                .ok_or_else(|| input_error(name, format!("input `{name}` is missing; it is {spec}")))?;
            spec.check(&input, &mut symbols)?;
            Ok(input)
        });
        arranged.collect()
    }

    fn unknown(&self, name: &str) -> Error {
        let known = || self.inputs.iter().map(|spec| spec.name.as_str());
        let model = &self.name;
        let nearest = strict::nearest(name, known());
        let message = match nearest {
            Some(near) => format!("model `{model}` has no input `{name}`; did you mean `{near}`?"),
            None => {
                let known: Vec<_> = known().collect();
                format!("model `{model}` has no input `{name}`; it takes {}", known.join(", "))
            }
        };
        Error::invalid_input("model.infer", message).with_detail(mcp_core::error::Detail::Field {
            path: name.to_owned(),
            nearest: nearest.map(str::to_owned),
        })
    }
}

impl TensorSpec {
    /// Whether `input` is of this type and shape, where `symbols` are the sizes that earlier inputs set.
    fn check<'a>(&'a self, input: &Tensor, symbols: &mut BTreeMap<&'a str, usize>) -> Result<()> {
        let name = &self.name;
        let fits = |(&extent, dimension): (&usize, &'a Dimension)| match dimension {
            Dimension::Fixed(wanted) => extent == *wanted,
            Dimension::Symbol(symbol) => extent > 0 && *symbols.entry(symbol).or_insert(extent) == extent,
        };
        let same_rank = input.shape().len() == self.shape.len();
        if input.datatype() == self.datatype && same_rank && input.shape().iter().zip(&self.shape).all(fits) {
            return Ok(());
        }
        let (datatype, shape) = (input.datatype().as_str(), input.shape());
        let mut message = format!("input `{name}` is {datatype} {shape:?}; the model expects {self}");
        let set: Vec<_> = symbols.iter().map(|(symbol, size)| format!("{symbol} = {size}")).collect();
        if !set.is_empty() {
            message = format!("{message}, here with {}", set.join(" and "));
        }
        Err(input_error(name, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> ModelMetadata {
        let spec = |name: &str| TensorSpec {
            name: name.into(),
            datatype: Datatype::Int64,
            shape: vec![Dimension::Symbol("batch".into()), Dimension::Fixed(2)],
        };
        ModelMetadata {
            name: "m".into(),
            version: "1".into(),
            platform: "test",
            inputs: vec![spec("input_ids"), spec("attention_mask")],
            outputs: vec![],
        }
    }

    fn tensor(name: &str, shape: &[usize]) -> Tensor {
        Tensor::new(name, shape.to_vec(), vec![0_i64; shape.iter().product()]).unwrap()
    }

    #[test]
    fn inputs_come_in_the_models_order() {
        let given = vec![tensor("attention_mask", &[3, 2]), tensor("input_ids", &[3, 2])];
        let arranged = metadata().arrange(given).unwrap();
        assert_eq!(arranged[0].name(), "input_ids");
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_is_expected() {
        let ids = || tensor("input_ids", &[3, 2]);
        for (given, wanted) in [
            (vec![ids()], "`attention_mask` is missing; it is INT64 [batch, 2]"),
            (vec![ids(), ids()], "`input_ids` is given twice"),
            (vec![tensor("input_id", &[1, 2])], "did you mean `input_ids`?"),
            (vec![tensor("pixels", &[1, 2])], "it takes input_ids, attention_mask"),
            (
                vec![ids(), tensor("attention_mask", &[1, 2])],
                "INT64 [1, 2]; the model expects INT64 [batch, 2], here with batch = 3",
            ),
            (vec![tensor("input_ids", &[3, 3])], "expects INT64 [batch, 2]"),
            (vec![tensor("input_ids", &[6])], "expects INT64 [batch, 2]"),
            (vec![tensor("input_ids", &[0, 2])], "expects INT64 [batch, 2]"),
            (
                vec![Tensor::new("input_ids", vec![1, 2], vec![0.0_f32; 2]).unwrap()],
                "is FP32 [1, 2]; the model expects INT64",
            ),
        ] {
            let error = metadata().arrange(given).unwrap_err();
            assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
        }
    }
}

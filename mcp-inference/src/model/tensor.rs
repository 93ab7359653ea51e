//! Values that go into and come out of a model.

use mcp_core::{Error, Result};

/// Declares the element types once: variant, Rust type, name in the Open Inference Protocol.
macro_rules! datatypes {
    ($($variant:ident($rust:ty) = $name:literal, $doc:literal;)*) => {
        /// A tensor's element type, named as the Open Inference Protocol names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Datatype { $(#[doc = $doc] $variant,)* }

        impl Datatype {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the wire, as in `FP32`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        /// The elements of a tensor, row by row.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum TensorData { $(#[doc = $doc] $variant(Vec<$rust>),)* }

        impl TensorData {
            /// The elements' type.
            #[must_use]
            pub const fn datatype(&self) -> Datatype {
                match self { $(Self::$variant(_) => Datatype::$variant,)* }
            }

            /// How many elements there are.
            #[must_use]
            pub const fn len(&self) -> usize {
                match self { $(Self::$variant(values) => values.len(),)* }
            }

            /// Whether there are none.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        $(impl From<Vec<$rust>> for TensorData {
            fn from(values: Vec<$rust>) -> Self {
                Self::$variant(values)
            }
        })*
    };
}

datatypes! {
    Bool(bool) = "BOOL", "True or false.";
    Uint8(u8) = "UINT8", "Unsigned, 8 bits.";
    Uint16(u16) = "UINT16", "Unsigned, 16 bits.";
    Uint32(u32) = "UINT32", "Unsigned, 32 bits.";
    Uint64(u64) = "UINT64", "Unsigned, 64 bits.";
    Int8(i8) = "INT8", "Signed, 8 bits.";
    Int16(i16) = "INT16", "Signed, 16 bits.";
    Int32(i32) = "INT32", "Signed, 32 bits.";
    Int64(i64) = "INT64", "Signed, 64 bits.";
    Fp32(f32) = "FP32", "Floating point, 32 bits.";
    Fp64(f64) = "FP64", "Floating point, 64 bits.";
}

impl Datatype {
    /// The type of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|datatype| datatype.as_str() == name)
    }
}

/// A named, typed, shaped value.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of `shape` whose elements stand row by row in `data`.
    ///
    /// # Errors
    /// `InvalidInput` that names the tensor when `shape` asks for another number of elements, or when a
    /// floating point element is not a finite number.
    pub fn new(name: impl Into<String>, shape: Vec<usize>, data: impl Into<TensorData>) -> Result<Self> {
        let (name, data) = (name.into(), data.into());
        let wanted = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
        if wanted != Some(data.len()) {
            let found = data.len();
            return Err(refuse(&name, format!("has {found} elements, which its shape {shape:?} does not")));
        }
        let finite = match &data {
            TensorData::Fp32(values) => values.iter().all(|value| value.is_finite()),
            TensorData::Fp64(values) => values.iter().all(|value| value.is_finite()),
            _ => true,
        };
        if !finite {
            return Err(refuse(&name, "holds a value that is no finite number".to_owned()));
        }
        Ok(Self { name, shape, data })
    }

    /// Its name in the model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Elements along each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row by row.
    #[must_use]
    pub const fn data(&self) -> &TensorData {
        &self.data
    }

    /// The elements' type.
    #[must_use]
    pub const fn datatype(&self) -> Datatype {
        self.data.datatype()
    }
}

fn refuse(name: &str, why: String) -> Error {
    super::input_error(name, format!("tensor `{name}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_holds_what_its_shape_says_and_only_numbers() {
        assert!(Tensor::new("x", vec![2, 3], vec![0_i64; 6]).is_ok());
        assert!(Tensor::new("x", vec![], vec![1.0_f32]).is_ok());
        for (shape, data) in [
            (vec![2, 3], TensorData::from(vec![0_i64; 5])),
            (vec![usize::MAX, 2], vec![0_i64; 2].into()),
            (vec![1], vec![f32::NAN].into()),
            (vec![1], vec![f64::INFINITY].into()),
        ] {
            let error = Tensor::new("x", shape, data).unwrap_err();
            assert!(error.message().contains("`x`"), "{error}");
        }
    }

    #[test]
    fn names_are_those_of_the_protocol_and_read_back() {
        for datatype in Datatype::ALL {
            assert_eq!(Datatype::parse(datatype.as_str()), Some(*datatype));
        }
        assert_eq!(Datatype::parse("FP16"), None);
    }
}

//! What may be compared.

use mcp_core::{Error, Result, error::Detail};

use super::Vector;
use crate::memory::MemoryId;

/// A vector of length one in the direction of `numbers`, so that a dot product is a cosine; zero stays zero.
///
/// # Errors
/// `InvalidInput` if the vector is not one of `dimensions` finite numbers.
pub(super) fn unit(mut numbers: Vec<f32>, dimensions: usize) -> Result<Vec<f32>> {
    finite(&numbers, dimensions)?;
    // Squares of large numbers do not fit in 32 bits.
    let norm = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for number in &mut numbers {
            *number = (f64::from(*number) / norm) as f32;
        }
    }
    Ok(numbers)
}

/// The same for each of many: all of them, or an error.
pub(super) fn units(vectors: Vec<Vector>, dimensions: usize) -> Result<Vec<(MemoryId, Vec<f32>)>> {
    vectors.into_iter().map(|vector| Ok((vector.id, unit(vector.numbers, dimensions)?))).collect()
}

fn finite(numbers: &[f32], dimensions: usize) -> Result<()> {
    let complaint = if numbers.len() != dimensions {
        format!("a vector has {} numbers instead of {dimensions}", numbers.len())
    } else if numbers.iter().any(|number| !number.is_finite()) {
        "a vector holds what is no finite number".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid_input("vector.check", complaint)
        .with_detail(Detail::Field { path: "vector".to_owned(), nearest: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_vector_gets_length_one_and_zero_stays() {
        assert_eq!(unit(vec![3.0, -4.0], 2).unwrap(), [0.6, -0.8]);
        assert_eq!(unit(vec![f32::MAX, 0.0], 2).unwrap(), [1.0, 0.0]);
        assert_eq!(unit(vec![f32::MIN_POSITIVE / 8.0, 0.0], 2).unwrap(), [1.0, 0.0]);
        assert_eq!(unit(vec![0.0, 0.0], 2).unwrap(), [0.0, 0.0]);
        for odd in [vec![], vec![1.0], vec![1.0, f32::NAN], vec![f32::NEG_INFINITY, 1.0]] {
            assert_eq!(unit(odd, 2).unwrap_err().kind(), mcp_core::ErrorKind::InvalidInput);
        }
    }
}

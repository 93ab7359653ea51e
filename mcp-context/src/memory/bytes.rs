//! Vectors as databases store them: little-endian 32-bit floats, one after the other.

use mcp_core::{Error, ErrorKind, Result};

pub(super) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let vector: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    if rest.is_empty() && !vector.is_empty() && vector.iter().all(|number| number.is_finite()) {
        return Ok(vector);
    }
    Err(Error::new(ErrorKind::Corrupted, "memory.recall", "a stored vector is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_and_damaged_ones_do_not() {
        let vector = [0.5, -1.25, 3e-8];
        assert_eq!(from_bytes(&to_bytes(&vector)).unwrap(), vector);
        for damaged in [&[][..], &[1, 2, 3], &f32::NAN.to_le_bytes()] {
            assert_eq!(from_bytes(damaged).unwrap_err().kind(), ErrorKind::Corrupted);
        }
    }
}

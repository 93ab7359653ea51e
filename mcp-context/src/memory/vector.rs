//! Vectors as they are stored and compared.

use mcp_core::{Error, ErrorKind, Result};

use super::{MemoryId, store::Vector};

/// Little-endian 32-bit floats, one after the other.
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    expect(dead_code, reason = "only databases store them")
)]
pub(super) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    expect(dead_code, reason = "only databases store them")
)]
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let vector: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    if rest.is_empty() && !vector.is_empty() && vector.iter().all(|number| number.is_finite()) {
        return Ok(vector);
    }
    Err(Error::new(ErrorKind::Corrupted, "memory.recall", "a stored vector is damaged"))
}

/// The `limit` nearest to `query`, nearest first, by cosine. Vectors of another length are left out.
pub(super) fn nearest(query: &[f32], vectors: &[Vector], limit: usize) -> Vec<MemoryId> {
    let norm = dot(query, query).sqrt().max(f32::MIN_POSITIVE);
    let mut scored: Vec<(f32, MemoryId)> = vectors
        .iter()
        .filter(|vector| vector.numbers.len() == query.len())
        .map(|vector| {
            let length = dot(&vector.numbers, &vector.numbers).sqrt().max(f32::MIN_POSITIVE);
            (dot(query, &vector.numbers) / (norm * length), vector.id)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    scored.into_iter().take(limit).map(|(_, id)| id).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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

    #[test]
    fn the_nearest_come_first_whatever_their_length() {
        let vector = |numbers: &[f32]| Vector { id: MemoryId::generate(), numbers: numbers.to_vec() };
        let all = [vector(&[1.0, 0.0]), vector(&[0.0, 9.0]), vector(&[5.0, 5.0]), vector(&[1.0])];
        assert_eq!(nearest(&[0.1, 1.0], &all, 2), [all[1].id, all[2].id]);
        assert_eq!(nearest(&[0.0, 0.0], &all, 9).len(), 3);
    }
}

//! From the states of a text's tokens to one vector.

use crate::model::{EmbeddingSpec, Pooling};

/// The vectors of a batch. `states` are those of each token, `width` tokens a text and `size` numbers a token,
/// row by row; `lengths` says how many tokens of each text are no padding.
pub(super) fn vectors(
    spec: EmbeddingSpec,
    states: &[f32],
    lengths: &[usize],
    width: usize,
    size: usize,
) -> Vec<Vec<f32>> {
    let texts = states.chunks_exact(width * size).zip(lengths);
    texts.map(|(states, &length)| vector(spec, &states[..length * size], size)).collect()
}

fn vector(spec: EmbeddingSpec, states: &[f32], size: usize) -> Vec<f32> {
    let mut vector = match spec.pooling {
        Pooling::Cls => states[..size].to_vec(),
        Pooling::Mean => mean(states, size),
    };
    if spec.normalize {
        super::scale::to_unit(&mut vector);
    }
    vector
}

fn mean(states: &[f32], size: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f32; size];
    for token in states.chunks_exact(size) {
        for (sum, value) in sums.iter_mut().zip(token) {
            *sum += value;
        }
    }
    let tokens = (states.len() / size).max(1) as f32;
    sums.iter().map(|sum| sum / tokens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_does_not_count() {
        let spec = EmbeddingSpec { pooling: Pooling::Mean, normalize: false, max_tokens: 8, truncate: false };
        let states = [1.0, 2.0, 3.0, 4.0, 9.0, 9.0];
        assert_eq!(vectors(spec, &states, &[2], 3, 2), [[2.0, 3.0]]);
        let first = EmbeddingSpec { pooling: Pooling::Cls, ..spec };
        assert_eq!(vectors(first, &states, &[2], 3, 2), [[1.0, 2.0]]);
        let unit = EmbeddingSpec { normalize: true, ..first };
        let vector = &vectors(unit, &[3.0, 4.0], &[1], 1, 2)[0];
        assert_eq!(vector, &[0.6, 0.8]);
    }
}

//! Reciprocal rank fusion: rankings whose scores cannot be compared are joined by their ranks.

use std::collections::HashMap;

use super::MemoryId;

/// Damps the weight of the first ranks; the value of the paper that proposed the method.
const K: f32 = 60.0;

/// The ids of all rankings, best first, each with its score.
pub(super) fn fuse(rankings: &[Vec<MemoryId>], limit: usize) -> Vec<(MemoryId, f32)> {
    let mut scores: HashMap<MemoryId, f32> = HashMap::new();
    for ranking in rankings {
        for (rank, id) in ranking.iter().enumerate() {
            *scores.entry(*id).or_default() += 1.0 / (K + rank as f32 + 1.0);
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    // Among equals the newest first: ids are in the order of time.
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    fused.truncate(limit);
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_rankings_hold_comes_before_what_one_holds_first() {
        let ids: Vec<_> = (0..4).map(|_| MemoryId::generate()).collect();
        let fused = fuse(&[vec![ids[0], ids[1]], vec![ids[2], ids[1], ids[3]]], 3);
        let order: Vec<_> = fused.iter().map(|(id, _)| *id).collect();
        assert_eq!(order, [ids[1], ids[2], ids[0]]);
        assert!(fuse(&[], 3).is_empty());
    }
}

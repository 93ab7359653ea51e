//! Which memories hold the words that were asked for best: one answer for every backend.
//!
//! A database says who holds which of the words, and no more. Its own ranking would count how rare a word is over
//! everything in its index, and so let one tenant's memories move another's.

use std::collections::BTreeMap;

use super::MemoryId;

/// A memory that holds some of the words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    pub(super) id: MemoryId,
    /// Which of them: bit `n` for the `n`th word.
    pub(super) held: u64,
    /// Memories of the namespace that hold these words and no other of them. This is one.
    pub(super) alike: u64,
    /// Bytes of its text.
    pub(super) bytes: u64,
}

/// The best first: who holds more or rarer words, then who says it shorter, then who is newer. How rare a word is
/// counts among the memories of the namespace that hold any.
///
/// Of those alike, `holders` needs only the shortest and newest `limit`.
pub(super) fn best(mut holders: Vec<Holder>, limit: usize) -> Vec<MemoryId> {
    let alike: BTreeMap<u64, u64> = holders.iter().map(|holder| (holder.held, holder.alike)).collect();
    let all: u64 = alike.values().sum();
    let weights: Vec<f64> = (0..u64::BITS)
        .map(|word| {
            let with = alike.iter().filter(|(held, _)| holds(**held, word)).map(|(_, count)| count);
            (1.0 + all as f64 / with.sum::<u64>().max(1) as f64).ln()
        })
        .collect();
    // Added up in one order, so that equals are equal to the last bit.
    let score = |held: u64| -> f64 {
        (0..).zip(&weights).filter(|(word, _)| holds(held, *word)).map(|(_, weight)| weight).sum()
    };
    let scores: BTreeMap<u64, f64> = alike.keys().map(|held| (*held, score(*held))).collect();
    holders.sort_by(|a, b| {
        let by_words = scores[&b.held].total_cmp(&scores[&a.held]);
        by_words.then(a.bytes.cmp(&b.bytes)).then(b.id.cmp(&a.id))
    });
    holders.into_iter().take(limit).map(|holder| holder.id).collect()
}

const fn holds(held: u64, word: u32) -> bool {
    (held >> word) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(held: u64, alike: u64, bytes: u64) -> Holder {
        Holder { id: MemoryId::generate(), held, alike, bytes }
    }

    #[test]
    fn more_words_and_rarer_ones_come_first_then_the_shorter_then_the_newer() {
        let common: Vec<_> = [30, 20, 20].map(|bytes| holder(0b01, 1_000, bytes)).into();
        let (rare, both) = (holder(1 << 63, 2, 90), holder((1 << 63) | 0b01, 1, 90));
        let order = [both.id, rare.id, common[2].id, common[1].id, common[0].id];
        let all = [&common[..], &[rare, both]].concat();
        assert_eq!(best(all.clone(), 10), order);
        assert_eq!(best(all, 2), order[..2]);
        assert_eq!(best(Vec::new(), 10), []);
    }
}

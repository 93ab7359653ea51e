//! Every vector compared with every query: the readable reference.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use mcp_core::Result;

use super::Near;
use crate::memory::MemoryId;

/// The vectors of one space, each of length one. What is above it checks them, and holds the locks.
pub(super) trait Vectors: Send + Sync + fmt::Debug {
    /// Takes a vector, in the place of an earlier one of the same id.
    fn add(&mut self, id: MemoryId, unit: Vec<f32>) -> Result<()>;

    /// Drops a vector, if it is there.
    fn remove(&mut self, id: &MemoryId) -> Result<()>;

    /// The nearest, nearest first.
    fn search(&self, unit: &[f32], limit: usize) -> Result<Vec<Near>>;

    /// How many there are.
    fn len(&self) -> usize;

    /// The oldest: ids are in the order of time.
    fn oldest(&self) -> Option<MemoryId>;

    /// About how much memory it takes.
    fn bytes(&self) -> usize;

    /// Does a part of the work that was put off, for some tens of milliseconds; says whether there was any.
    /// After an error the vectors are not to be used.
    fn settle(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Whether so much was removed that it should be built anew.
    fn worn(&self) -> bool {
        false
    }
}

/// A map of vectors.
#[derive(Default)]
pub(super) struct Exact(BTreeMap<MemoryId, Vec<f32>>);

/// What a vector takes beside its numbers in any index, at most.
pub(super) const MOST_BESIDE: usize = 512;
/// What it takes here.
const ENTRY: usize = 96;

impl Exact {
    /// Takes the oldest out.
    #[cfg(feature = "usearch")]
    pub(super) fn pop_oldest(&mut self) -> Option<(MemoryId, Vec<f32>)> {
        self.0.pop_first()
    }

    /// Drops a vector; says whether it was there.
    pub(super) fn take(&mut self, id: &MemoryId) -> bool {
        self.0.remove(id).is_some()
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exact").field("len", &self.0.len()).finish()
    }
}

impl Vectors for Exact {
    fn add(&mut self, id: MemoryId, unit: Vec<f32>) -> Result<()> {
        self.0.insert(id, unit);
        Ok(())
    }

    fn remove(&mut self, id: &MemoryId) -> Result<()> {
        self.take(id);
        Ok(())
    }

    fn search(&self, unit: &[f32], limit: usize) -> Result<Vec<Near>> {
        let near = |(id, vector): (&MemoryId, &Vec<f32>)| {
            let similarity = dot(unit, vector).clamp(-1.0, 1.0);
            Near { id: *id, similarity }
        };
        Ok(best(self.0.iter().map(near).collect(), limit))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn oldest(&self) -> Option<MemoryId> {
        self.0.first_key_value().map(|(id, _)| *id)
    }

    fn bytes(&self) -> usize {
        let one = self.0.first_key_value().map_or(0, |(_, vector)| size_of_val(vector.as_slice()) + ENTRY);
        self.0.len() * one
    }
}

/// The `limit` best, best first.
pub(super) fn best(mut all: Vec<Near>, limit: usize) -> Vec<Near> {
    let order =
        |a: &Near, b: &Near| -> Ordering { b.similarity.total_cmp(&a.similarity).then(b.id.cmp(&a.id)) };
    if limit < all.len() {
        all.select_nth_unstable_by(limit, order);
        all.truncate(limit);
    }
    all.sort_unstable_by(order);
    all
}

/// The dot product of two vectors of the same length, in sums that the compiler can keep in one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_among_equals_the_newest() {
        let ids: Vec<_> = (0..4).map(|_| MemoryId::generate()).collect();
        let mut vectors = Exact::default();
        for (id, numbers) in ids.iter().zip([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]) {
            vectors.add(*id, numbers.to_vec()).unwrap();
        }
        let found = vectors.search(&[0.6, 0.8], 3).unwrap();
        assert_eq!(found.iter().map(|near| near.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
        assert_eq!(vectors.search(&[1.0, 0.0], 9).unwrap().len(), 4);
        assert!(vectors.search(&[1.0, 0.0], 0).unwrap().is_empty());
    }

    #[test]
    fn a_dot_product_counts_every_number() {
        for length in [1, 7, 8, 9, 26, 384] {
            let numbers: Vec<f32> = (0..length).map(|n| (n % 5) as f32).collect();
            let plain: f32 = numbers.iter().map(|n| n * n).sum();
            assert!((dot(&numbers, &numbers) - plain).abs() < 1e-2, "{length}");
        }
    }
}

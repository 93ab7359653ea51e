//! Vectors found by a graph of neighbours (HNSW, by usearch).
//!
//! What usearch asks of those who use it, and where it is kept here:
//! - Making room while another searches reads freed memory: everything that changes an index has `&mut self`, by
//!   the write lock of the space.
//! - A search takes one of the places for threads that room was made for, and fails where none is free: places
//!   are made for as many as compute at once.
//! - Vectors with NaN are taken, and spoil the graph: no vector gets here unchecked.
//! - Removed vectors keep their memory until another takes their place: a graph that has become half empty is
//!   built anew.
//! - A damaged file crashes the process: there are no files.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use mcp_core::{Error, Result};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::{
    Near,
    exact::{Exact, MOST_BESIDE, Vectors, best},
};
use crate::memory::MemoryId;

/// Vectors that a graph takes in at once, which is some tens of milliseconds of work.
const BATCH: usize = 128;
/// What a vector takes in a graph beside its numbers: its neighbours, its id twice, its key twice.
const ENTRY: usize = MOST_BESIDE;

/// A graph that never had more than this is not worth building anew.
const SMALL: usize = 1024;
/// Candidates that a search looks at: twice what usearch looks at unasked, as recall asks for forty and more.
const BREADTH: usize = 128;

/// New vectors are compared one by one; once there are many, they move into the graph batch by batch.
pub(super) struct Graph {
    dimensions: usize,
    threads: usize,
    exact_up_to: usize,
    fresh: Exact,
    graph: Option<Index>,
    capacity: usize,
    keys: BTreeMap<MemoryId, u64>,
    ids: HashMap<u64, MemoryId>,
    next: u64,
    /// The most vectors the graph ever had, whose memory it still has.
    peak: usize,
}

impl Graph {
    /// An empty one, searched by at most `threads` at once.
    pub(super) fn new(dimensions: usize, threads: usize, exact_up_to: usize) -> Self {
        Self {
            dimensions,
            threads,
            exact_up_to,
            fresh: Exact::default(),
            graph: None,
            capacity: 0,
            keys: BTreeMap::new(),
            ids: HashMap::new(),
            next: 0,
            peak: 0,
        }
    }

    /// The graph, with room for another batch.
    fn roomy(&mut self) -> Result<&Index> {
        let graph = match self.graph.take() {
            Some(graph) => graph,
            None => Index::new(&IndexOptions {
                dimensions: self.dimensions,
                // Of vectors of length one this is the cosine.
                metric: MetricKind::IP,
                quantization: ScalarKind::F32,
                expansion_search: BREADTH,
                ..IndexOptions::default()
            })
            .map_err(fault)?,
        };
        let wanted = self.keys.len() + BATCH;
        if wanted > self.capacity {
            let capacity = wanted.next_power_of_two();
            graph.reserve_capacity_and_threads(capacity, self.threads).map_err(fault)?;
            self.capacity = capacity;
        }
        Ok(self.graph.insert(graph))
    }

    fn remove_from_graph(&mut self, id: &MemoryId) -> Result<()> {
        if let (Some(key), Some(graph)) = (self.keys.remove(id), &self.graph) {
            self.ids.remove(&key);
            graph.remove(key).map_err(fault)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fresh, keys, .. } = self;
        f.debug_struct("Graph").field("fresh", fresh).field("len", &keys.len()).finish_non_exhaustive()
    }
}

impl Vectors for Graph {
    fn add(&mut self, id: MemoryId, unit: Vec<f32>) -> Result<()> {
        self.remove_from_graph(&id)?;
        self.fresh.add(id, unit)
    }

    fn remove(&mut self, id: &MemoryId) -> Result<()> {
        if self.fresh.take(id) { Ok(()) } else { self.remove_from_graph(id) }
    }

    fn search(&self, unit: &[f32], limit: usize) -> Result<Vec<Near>> {
        let mut found = self.fresh.search(unit, limit)?;
        if let Some(graph) = self.graph.as_ref().filter(|_| limit > 0 && !self.keys.is_empty()) {
            let matches = graph.search(unit, limit).map_err(fault)?;
            let known = |(key, distance): (&u64, &f32)| {
                self.ids.get(key).map(|id| Near { id: *id, similarity: (1.0 - distance).clamp(-1.0, 1.0) })
            };
            found.extend(matches.keys.iter().zip(&matches.distances).filter_map(known));
        }
        Ok(best(found, limit))
    }

    fn len(&self) -> usize {
        self.fresh.len() + self.keys.len()
    }

    fn oldest(&self) -> Option<MemoryId> {
        let oldest = self.keys.first_key_value().map(|(id, _)| *id);
        [oldest, self.fresh.oldest()].into_iter().flatten().min()
    }

    fn bytes(&self) -> usize {
        self.fresh.bytes() + self.peak * (self.dimensions * size_of::<f32>() + ENTRY)
    }

    fn settle(&mut self) -> Result<bool> {
        let waiting = if self.graph.is_some() { self.exact_up_to.min(BATCH) } else { self.exact_up_to };
        if self.fresh.len() <= waiting {
            return Ok(false);
        }
        self.roomy()?;
        for _ in 0..BATCH {
            let (Some((id, unit)), Some(graph)) = (self.fresh.pop_oldest(), &self.graph) else { break };
            let key = self.next;
            self.next += 1;
            graph.add(key, &unit).map_err(fault)?;
            self.keys.insert(id, key);
            self.ids.insert(key, id);
        }
        self.peak = self.peak.max(self.keys.len());
        Ok(true)
    }

    fn worn(&self) -> bool {
        self.peak > SMALL && self.keys.len() < self.peak / 2
    }
}

/// What usearch complains of. It says nothing of the vectors.
fn fault(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("vector.graph", "the graph of vectors failed").with_source(error)
}

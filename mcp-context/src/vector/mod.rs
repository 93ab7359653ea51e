//! Which vectors are near another: indexes that are derived from stored rows and can be thrown away.
//!
//! A [`VectorIndex`] keeps one index for each [`Space`] of a tenant: what one model made of the texts of one
//! namespace. [`LocalVectorIndex`] holds them in memory, as exact comparisons, which are the reference, or as
//! graphs (feature `usearch`). Nothing is stored: the rows are the truth, an index is built from them when it
//! is first asked, and follows them by their version.

mod check;
mod exact;
mod index;
mod local;
mod spaces;

#[cfg(feature = "usearch")]
mod graph;

pub use index::{Changes, MAX_VECTORS, Near, Space, Vector, VectorIndex};
pub use local::{LocalConfig, LocalVectorIndex};

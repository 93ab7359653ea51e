//! The trait of vector indexes, and what they are asked and told.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Result, Scope};

use crate::memory::{MemoryId, Namespace};

/// Most vectors of a space that are compared: the newest.
pub const MAX_VECTORS: usize = 100_000;

/// A vector, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// Whose it is.
    pub id: MemoryId,
    /// The vector.
    pub numbers: Vec<f32>,
}

/// What is compared with each other: the vectors that one model made of the texts of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Space {
    /// Whose texts they are.
    pub namespace: Namespace,
    /// The model's name.
    pub model: String,
    /// Numbers in each vector, at least 1.
    pub dimensions: usize,
}

/// What happened to the rows of a space between two versions of its namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The version they follow on; `None` if they are all vectors there are.
    pub since: Option<i64>,
    /// The version they lead to.
    pub until: i64,
    /// Vectors that are there now, in any order.
    pub added: Vec<Vector>,
    /// Whose vectors are there no more.
    pub removed: Vec<MemoryId>,
}

/// A vector that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Whose it is.
    pub id: MemoryId,
    /// The cosine of the angle to the one asked for: −1 to 1, 0 if one of them is zero.
    pub similarity: f32,
}

/// Finds vectors near another, in the spaces of many tenants.
///
/// An index is derived from rows that are kept elsewhere, and follows their version: who asks it says which
/// version he knows of, brings the [`Changes`] that it lacks, and checks what is found against the rows. So an
/// index may be dropped or be behind at any moment, and two replicas need not know of each other.
///
/// Promises:
/// - **Nearest first**, by the angle alone; among equals the newest. Each vector is found once, in its last form.
/// - **In step or silent**: [`search`](Self::search) answers from an index that has the version asked for, or a
///   later one; `None` where there is none. What was removed by then is not found. One that is half made answers
///   nobody.
/// - **Changes fit or do nothing**: those that follow on a version that the index does not have leave it as it
///   was; those that it has already, too.
/// - **Kept apart**: nothing of one tenant, namespace, model or number of dimensions is found in another.
/// - **Vectors are checked**: one of another length or with a number that is not finite is
///   [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), and nothing of what came with it is taken.
/// - **Bounded**: a space has at most [`MAX_VECTORS`], of which the newest count.
///
/// # Cancellation
/// A dropped [`apply`](Self::apply) has happened whole or not at all.
#[async_trait]
pub trait VectorIndex: Send + Sync + fmt::Debug {
    /// The version that the index of a space has; `None` where it is yet to be built.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    async fn version(&self, scope: &Scope, space: &Space) -> Result<Option<i64>>;

    /// Adds and removes vectors, which brings the index to a later version; without a `since` it is built anew.
    ///
    /// # Errors
    /// `InvalidInput` for a vector that is none; `Unavailable`.
    async fn apply(&self, scope: &Scope, space: &Space, changes: Changes) -> Result<()>;

    /// At most `limit` vectors that are nearest to `query`, if the index has `version` or a later one.
    ///
    /// # Errors
    /// `InvalidInput` for a query of another length or with what is no finite number; `Unavailable`.
    async fn search(
        &self,
        scope: &Scope,
        space: &Space,
        version: i64,
        query: &[f32],
        limit: usize,
    ) -> Result<Option<Vec<Near>>>;

    /// How many vectors the index of a space has; none where it is yet to be built.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn len(&self, scope: &Scope, space: &Space) -> Result<usize>;
}

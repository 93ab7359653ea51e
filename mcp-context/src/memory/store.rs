//! Where memories are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, Result, Scope};

use super::{Memory, MemoryId, Namespace, NewMemory};
use crate::vector::Vector;

/// Most vectors that one read gives.
pub const MAX_VECTORS_READ: u32 = 1000;
/// How many versions of a namespace can be asked for what was forgotten in them.
pub const KEPT_VERSIONS: i64 = 10_000;

/// What happened to the vectors of a namespace between two of its versions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorChanges {
    /// Vectors that came and are there, in any order.
    pub added: Vec<Vector>,
    /// Memories that were forgotten.
    pub removed: Vec<MemoryId>,
}

/// What putting a memory came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The memory.
    pub memory: Memory,
    /// Whether it is new; false where the namespace had the same text already.
    pub new: bool,
}

/// Keeps memories, with their vectors where there are any. [`Memories`](super::Memories) stands above it.
///
/// Promises:
/// - **Once**: a text is in a namespace once, however many put it at the same time; whoever comes later is
///   answered with what is there.
/// - **Found by its words**: [`by_words`](Self::by_words) finds what holds at least one of the words, in any
///   case; what holds more or rarer ones first, then the shorter text, then the newer.
/// - **Nobody else's words count**: how rare a word is counts within the namespace, so nothing that is put or
///   forgotten elsewhere changes what is found or its order.
/// - **Versions**: each memory that is put or forgotten is the next [`version`](Self::version) of its namespace, in
///   the order of the commits and without gaps, so that whoever knows of one version finds out what came after
///   it, whichever process did it.
/// - **Namespaces and tenants are kept apart**: nothing of one is found in another, and another tenant's memory
///   is [`NotFound`](mcp_core::ErrorKind::NotFound) like one that never was.
/// - **One change, one event**: a memory and its event are committed together or not at all, its removal with an
///   audit record too.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait MemoryStore: Send + Sync + fmt::Debug {
    /// The memory with this text, if the namespace has it.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    async fn same(&self, scope: &Scope, namespace: &Namespace, text: &str) -> Result<Option<Memory>>;

    /// Puts a memory, with the name of the model that made its vector and the vector.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), also for a vector that is empty or holds what is no
    /// finite number, and [`TooLarge`](mcp_core::ErrorKind::TooLarge) that
    /// name the field; `Unavailable`.
    async fn put(&self, scope: &Scope, new: NewMemory, vector: Option<(&str, &[f32])>) -> Result<Stored>;

    /// The ids of at most `limit` memories with these words, of which the first 64 count; best first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn by_words(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        words: &[String],
        limit: u32,
    ) -> Result<Vec<MemoryId>>;

    /// The version of a namespace: 0 before its first memory.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn version(&self, scope: &Scope, namespace: &Namespace) -> Result<i64>;

    /// The vectors that `model` made in a namespace, newest first: at most `limit` (of at most
    /// [`MAX_VECTORS_READ`]) of those older than `before`.
    ///
    /// # Errors
    /// [`Corrupted`](mcp_core::ErrorKind::Corrupted), `Unavailable`.
    async fn vectors(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        before: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<Vector>>;

    /// What happened to the vectors of `model` after the version `since` and up to `until`, which are at most
    /// [`MAX_VECTORS_READ`] apart; `None` if what was forgotten after `since` is not known any more.
    ///
    /// # Errors
    /// `Corrupted`, `Unavailable`.
    async fn changes(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        since: i64,
        until: i64,
    ) -> Result<Option<VectorChanges>>;

    /// The memories with these ids (at most 200) in any order; those that are gone are left out.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get(&self, scope: &Scope, ids: &[MemoryId]) -> Result<Vec<Memory>>;

    /// Removes a memory.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()>;
}

pub(super) fn not_found() -> Error {
    Error::not_found("memory.forget", "there is no such memory")
}

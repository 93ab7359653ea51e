//! One page of a list.

use mcp_core::{Error, error::Detail};
use serde::Serialize;

/// Most entries a page holds.
pub const MAX_PAGE: u32 = 200;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to ask the next page with; `None` on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` from what was read with one entry more, the cursor from the last entry.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Self { items, next_cursor }
    }
}

/// `limit` brought into the range a page may have.
pub(crate) fn limit(asked: u32) -> u32 {
    asked.clamp(1, MAX_PAGE)
}

pub(crate) fn unknown_cursor(operation: &'static str) -> Error {
    Error::invalid_input(operation, "`cursor` is not the `next_cursor` of an earlier page; start without one")
        .with_detail(Detail::Field { path: "cursor".into(), nearest: None })
}

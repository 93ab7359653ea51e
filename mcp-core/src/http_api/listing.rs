//! What every list takes.

use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::IntoParams;

/// The most entries on one page.
const MAX: u32 = 200;

/// Which page of a list: `limit` entries (1 to 200, 50 where it is left out) behind `cursor`.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// How many entries at most.
    #[serde(default = "default_limit", deserialize_with = "page_limit")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: u32,
    /// `next_cursor` of the page before; the first page without it.
    pub cursor: Option<String>,
}

/// What a list gives where no [`limit`](Listing::limit) is asked for.
#[must_use]
pub const fn default_limit() -> u32 {
    50
}

/// Reads a [`limit`](Listing::limit), for lists that take more than a [`Listing`].
///
/// # Errors
/// If it is out of its bounds.
pub fn page_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        limit @ 1..=MAX => Ok(limit),
        _ => Err(D::Error::custom(format!("`limit` must be 1 to {MAX}"))),
    }
}

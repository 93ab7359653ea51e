//! What every list takes.

use serde::Deserialize;

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    #[serde(default = "default_limit")]
    pub(super) limit: u32,
    pub(super) cursor: Option<String>,
}

const fn default_limit() -> u32 {
    50
}

//! The shapes of what goes in. An unknown member is refused: left out, it would mean something else.

use serde::Deserialize;

/// What a key is made with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeyOptions {
    pub(crate) name: String,
    pub(crate) principal: String,
    pub(crate) permissions: Vec<String>,
}

impl Default for KeyOptions {
    fn default() -> Self {
        let permissions = vec!["*".to_owned()];
        Self { name: "key".to_owned(), principal: "service".to_owned(), permissions }
    }
}

/// How messages are appended.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct AppendOptions {
    pub(crate) expected_version: Option<i64>,
    pub(crate) idempotency_key: Option<String>,
}

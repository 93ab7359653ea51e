//! What an answer used, while it is still on its way.

use std::sync::{Arc, Mutex, PoisonError};

use crate::chat::Usage;

/// What an answer used, once its provider has said so: of a stream in its last chunks. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Used(Arc<Mutex<Option<Usage>>>);

impl Used {
    pub(super) fn new(usage: Option<Usage>) -> Self {
        Self(Arc::new(Mutex::new(usage)))
    }

    /// Notes what a chunk says; the last word counts.
    pub(super) fn note(&self, usage: Option<Usage>) {
        if usage.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        }
    }

    /// The usage; `None` as long as the provider has not said.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens of prompt and answer together; `None` as long as the provider has not said.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        self.usage().map(|usage| usage.prompt.saturating_add(usage.completion))
    }
}

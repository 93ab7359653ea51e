//! What an answer used.

use serde::Deserialize;

/// Tokens, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt: u64,
    /// Tokens of the answer.
    pub completion: u64,
    /// Those of the prompt that the provider had cached, which have a price of their own.
    pub cached: u64,
}

/// The wire form; counts that are missing are zero.
#[derive(Deserialize)]
pub(super) struct Wire {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl From<Wire> for Usage {
    fn from(wire: Wire) -> Self {
        let prompt = wire.prompt_tokens.unwrap_or_default();
        let cached = wire.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or_default();
        Self {
            prompt,
            completion: wire.completion_tokens.unwrap_or_default(),
            // More cached than there are would make the rest negative.
            cached: cached.min(prompt),
        }
    }
}

//! The suites every backend passes: one case for each promise in a trait's documentation.
//!
//! [`run_model`] holds a [`Model`](crate::model::Model) to its promises, [`run_chat_provider`] a
//! [`ChatProvider`](crate::chat::ChatProvider) in front of an upstream that does what it is told.

mod chat;
mod models;

pub use chat::{Behaviour, ChatHarness, KEY, run_chat_provider};
pub use models::run_model;

//! What thinks: models in process, texts into vectors, chat providers, and the router in front of them.
//!
//! A [`ChatProvider`](chat::ChatProvider) speaks with one account at one provider; the
//! [`Router`](router::Router) turns the name of a model into a chain of them and goes on with the next where
//! one fails. Requests and answers are those of OpenAI's chat completions, passed through as they were written.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_core::{clock::SystemClock, key::Secret};
//! use mcp_inference::{
//!     chat::openai::{OpenAiConfig, OpenAiProvider},
//!     router::{Deployment, Route, Router, RouterConfig},
//! };
//!
//! let clock = Arc::new(SystemClock);
//! let mut main = OpenAiConfig::new("main", "https://api.openai.com/v1")?;
//! main.api_key = Some(Secret::new("sk-…".to_owned()));
//! let near = OpenAiConfig::new("near", "http://127.0.0.1:11434/v1")?;
//! let router = Router::new(
//!     RouterConfig {
//!         routes: vec![Route {
//!             model: "assistant".to_owned(),
//!             chain: vec![Deployment::new("main", "gpt-4o"), Deployment::new("near", "llama3.2")],
//!         }],
//!         ..RouterConfig::default()
//!     },
//!     vec![
//!         Arc::new(OpenAiProvider::new(main, clock.clone())?),
//!         Arc::new(OpenAiProvider::new(near, clock.clone())?),
//!     ],
//!     clock,
//! )?;
//! assert_eq!(router.models().collect::<Vec<_>>(), ["assistant"]);
//! # Ok::<(), mcp_core::Error>(())
//! ```

pub mod chat;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod cpu;
#[cfg(feature = "http-api")]
pub mod http_api;
pub mod model;
pub mod router;
pub mod text;

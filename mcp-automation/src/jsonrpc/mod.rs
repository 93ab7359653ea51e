//! JSON-RPC 2.0 on raw JSON: the envelope is parsed, what it carries is not.
//!
//! A gateway that decodes a message into typed models drops the fields it does not know. Here `params`,
//! `result` and `error` stay the bytes they were.

mod envelope;
mod fault;
pub mod write;

pub use envelope::{Envelope, Shape};
pub use fault::{Fault, code};

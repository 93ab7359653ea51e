//! What thinks: models in process, and texts into vectors.

pub mod chat;
pub mod cpu;
pub mod model;
pub mod router;
pub mod text;

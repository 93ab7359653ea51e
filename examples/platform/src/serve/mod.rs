//! Listeners: accept, bound, serve, drain.

mod listener;
mod revocation;
mod server;
mod tls;

pub use listener::{Limits, Listener};
pub use server::{Server, shutdown_signal};
pub use tls::{Certificates, Clients};

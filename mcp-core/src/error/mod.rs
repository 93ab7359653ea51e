//! One error for every crate: what went wrong, whether to try again, where, and what a program can act on.
//!
//! The *kind* and *whether to retry* are two things: an upstream may be down for good or for a second.
//! Messages are written for the caller and hold neither secrets nor another tenant's data; what only the
//! operator may see travels as the [source](std::error::Error::source) and reaches the log alone.

mod detail;
mod kind;
mod problem;
mod value;

pub use detail::Detail;
pub use kind::{ErrorKind, Retry};
pub use problem::Problem;
pub(crate) use problem::seconds_rounded_up;
pub use value::{Error, Result};

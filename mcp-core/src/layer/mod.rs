//! Tower layers every server of the SDK shares. They need only `tower` and `http`.
//!
//! Outermost first, and why in that order:
//!
//! | layer | why there |
//! |---|---|
//! | [`RequestIdLayer`] | everything inside, errors included, carries the id |
//! | [`TraceLayer`] | measures and logs all that follows, refusals too |
//! | [`RescueLayer`] | turns every error from inside into a response, once |
//! | [`LoadShedLayer`] | refuses what would only wait, before it costs anything |
//! | [`DeadlineLayer`] | bounds waiting and running together, so that the queue moves |
//! | [`ConcurrencyLayer`] | bounds what runs at once |
//! | authentication, tenant, limits | from the tenancy crate |
//!
//! Layers inside [`RescueLayer`] fail with [`Error`](crate::Error); nobody else makes error responses.

mod challenge;
mod concurrency;
mod deadline;
mod load_shed;
mod permit;
mod request_id;
mod rescue;
mod trace;

pub use challenge::{Challenge, StepUp};
pub use concurrency::{Concurrency, ConcurrencyLayer};
pub use deadline::{Deadline, DeadlineLayer, DeadlineService};
pub use load_shed::{LoadShed, LoadShedLayer};
pub use permit::PermitBody;
pub use request_id::{RequestIdLayer, RequestIdService};
pub use rescue::{ErrorBody, Failed, Rescue, RescueBody, RescueLayer, error_response};
pub use trace::{Trace, TraceLayer};

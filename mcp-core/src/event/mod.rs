//! Events: what happened, in the envelope of CloudEvents 1.0.
//!
//! An event is emitted inside the transaction that changes the state it tells of (`TenantTx::emit`), so it
//! is published if and only if the change was committed. Nothing relays or prunes the outbox yet: until a relay
//! exists, it keeps every event and grows.

mod envelope;

pub use envelope::{Event, MAX_EVENT_BYTES};

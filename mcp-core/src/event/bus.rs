//! Where events are published, and how consumers take them.

use std::fmt;

use async_trait::async_trait;

use super::Event;
use crate::{audit::Chain, error::Result, scope::PlatformScope};

/// An event on its way to a consumer.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Whose it is: the platform's or a tenant's.
    pub chain: Chain,
    /// What happened. A repeated delivery is recognised by [`Event::id`].
    pub event: Event,
    /// Counts the deliveries of this event to this group: 1 at first.
    pub attempt: u32,
    /// Names this delivery to its subscription.
    pub token: u64,
}

/// An event that a group was given up on.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Whose it is.
    pub chain: Chain,
    /// What happened.
    pub event: Event,
    /// How often it was delivered.
    pub attempts: u32,
}

/// Tells events to groups of consumers. Who publishes and consumes here works above tenants.
///
/// Promises:
/// - **At least once**: a group is delivered each event that was published since it was subscribed to first,
///   until one of its subscriptions acknowledges it; each delivery goes to one of them.
/// - **In order**: events of one subject of one chain are delivered in the order in which they were
///   published, the next one not before the one ahead is acknowledged or given up.
/// - **Again**: what is not acknowledged in time, is handed back, or whose subscription is dropped is delivered
///   again, with a higher [`attempt`](Delivery::attempt).
/// - **Given up**: after the configured number of deliveries an event becomes a dead letter, and what stands
///   behind it goes on.
/// - **Bounded**: where a group has no more room, nothing of a batch is published, to no group.
#[async_trait]
pub trait EventBus: Send + Sync + fmt::Debug {
    /// Publishes events of one chain, in their order: all or none.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) while a group has no room, or the bus is away.
    async fn publish(&self, scope: &PlatformScope, chain: &Chain, events: &[Event]) -> Result<()>;

    /// Joins a group, which is made if there is none: 1 to 64 characters of `[a-z0-9._-]`. A group that nobody
    /// needs any more is to be [ended](Self::end), as it would fill up.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name; `Unavailable`.
    async fn subscribe(&self, scope: &PlatformScope, group: &str) -> Result<Box<dyn Subscription>>;

    /// Ends a group and forgets what waits for it. Its subscriptions get
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    ///
    /// # Errors
    /// `Unavailable`.
    async fn end(&self, scope: &PlatformScope, group: &str) -> Result<()>;

    /// The newest dead letters of a group, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn dead_letters(&self, scope: &PlatformScope, group: &str) -> Result<Vec<DeadLetter>>;
}

/// One consumer of a group. Dropping it hands back what it has not acknowledged.
#[async_trait]
pub trait Subscription: Send + fmt::Debug {
    /// Waits for the next event.
    ///
    /// # Errors
    /// [`Cancelled`](crate::ErrorKind::Cancelled) when the group has been ended;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the bus is away.
    ///
    /// # Cancellation
    /// Nothing is lost.
    async fn next(&mut self) -> Result<Delivery>;

    /// The event has been dealt with. Says whether it was still this delivery's: if not, it is or was
    /// delivered again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ack(&mut self, token: u64) -> Result<bool>;

    /// The event is to be delivered again, here or elsewhere.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn retry(&mut self, token: u64) -> Result<()>;
}

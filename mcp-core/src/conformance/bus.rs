//! The suite of event buses.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use serde_json::json;

use super::{Cut, Failure, Outcome, Report, cancel_at, ensure, platform};
use crate::{
    audit::Chain,
    error::{ErrorKind, Result},
    event::{Delivery, Event, EventBus, Subscription},
};

/// Runs every case against a bus of its own, which gives up after 3 deliveries, has room for 16 events in a
/// group and waits 200 ms for an acknowledgement.
pub async fn run_bus(fresh: impl Fn() -> Arc<dyn EventBus>) -> Report {
    let mut report = Report::default();
    report.cases.push(("each_group_gets_each_event", each_group_gets_each_event(fresh()).await));
    report.cases.push(("subjects_are_in_order", subjects_are_in_order(fresh()).await));
    report.cases.push(("what_is_not_acknowledged_comes_again", comes_again(fresh()).await));
    report.cases.push(("a_dead_letter_lets_the_next_pass", a_dead_letter_lets_the_next_pass(fresh()).await));
    report.cases.push(("a_full_group_takes_nothing", a_full_group_takes_nothing(fresh()).await));
    report.cases.push(("a_dropped_wait_loses_nothing", a_dropped_wait_loses_nothing(fresh()).await));
    report.cases.push(("an_ended_group_says_so", an_ended_group_says_so(fresh()).await));
    report
}

fn event(subject: &str, n: usize) -> Event {
    Event::new("test.happened.v1", "/test", json!(n)).with_subject(subject)
}

fn number(delivery: &Delivery) -> u64 {
    delivery.event.data().as_u64().unwrap_or(u64::MAX)
}

async fn publish(bus: &dyn EventBus, subject: &str, numbers: std::ops::Range<usize>) -> Result<()> {
    let events: Vec<_> = numbers.map(|n| event(subject, n)).collect();
    bus.publish(&platform()?, &Chain::Platform, &events).await
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Result<Delivery, Failure> {
    let next = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
    Ok(next.map_err(|_| "nothing was delivered within ten seconds".to_owned())??)
}

fn nothing(subscription: &mut Box<dyn Subscription>, what: &str) -> Outcome {
    ensure(subscription.next().now_or_never().is_none(), what)
}

async fn each_group_gets_each_event(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    publish(&*bus, "before", 0..1).await?;
    let (mut a1, mut a2) = (bus.subscribe(&scope, "a").await?, bus.subscribe(&scope, "a").await?);
    let mut b = bus.subscribe(&scope, "b").await?;
    for n in 0..4 {
        publish(&*bus, &format!("s{n}"), n..n + 1).await?;
    }
    let mut seen = Vec::new();
    for turn in 0..4 {
        let subscription = if turn % 2 == 0 { &mut a1 } else { &mut a2 };
        let delivery = next(subscription).await?;
        ensure(delivery.attempt == 1, "the first delivery does not count as the first")?;
        ensure(subscription.ack(delivery.token).await?, "an acknowledgement was not taken")?;
        seen.push(number(&delivery));
    }
    ensure(seen == [0, 1, 2, 3], format!("two consumers of a group got {seen:?}"))?;
    nothing(&mut a1, "an acknowledged event was delivered again")?;
    for n in 0..4 {
        let delivery = next(&mut b).await?;
        ensure(number(&delivery) == n, "another group did not get every event in order")?;
        b.ack(delivery.token).await?;
    }
    nothing(&mut b, "an event of before the subscription was delivered")
}

async fn subjects_are_in_order(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    let (mut one, mut two) = (bus.subscribe(&scope, "g").await?, bus.subscribe(&scope, "g").await?);
    publish(&*bus, "x", 0..2).await?;
    publish(&*bus, "y", 2..3).await?;
    let first = next(&mut one).await?;
    let other = next(&mut two).await?;
    ensure((number(&first), number(&other)) == (0, 2), "a subject's next event did not wait for its first")?;
    nothing(&mut two, "a subject's next event was delivered before the first was acknowledged")?;
    one.retry(first.token).await?;
    let again = next(&mut two).await?;
    ensure((number(&again), again.attempt) == (0, 2), "what was handed back does not come before the next")?;
    two.ack(again.token).await?;
    ensure(number(&next(&mut one).await?) == 1, "the next event does not follow an acknowledgement")
}

async fn comes_again(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    let (mut one, mut two) = (bus.subscribe(&scope, "g").await?, bus.subscribe(&scope, "g").await?);
    publish(&*bus, "x", 0..2).await?;
    let late = next(&mut one).await?;
    let again = next(&mut two).await?;
    ensure((number(&again), again.attempt) == (0, 2), "a late acknowledgement brings no second delivery")?;
    ensure(!one.ack(late.token).await?, "an acknowledgement counted after its time")?;
    drop(two);
    let third = next(&mut one).await?;
    ensure((number(&third), third.attempt) == (0, 3), "a dropped subscription does not hand back")?;
    ensure(one.ack(third.token).await?, "the third delivery could not be acknowledged")?;
    ensure(number(&next(&mut one).await?) == 1, "the next event does not follow")
}

async fn a_dead_letter_lets_the_next_pass(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    let mut subscription = bus.subscribe(&scope, "g").await?;
    publish(&*bus, "x", 0..2).await?;
    for attempt in 1..=3 {
        let delivery = next(&mut subscription).await?;
        ensure((number(&delivery), delivery.attempt) == (0, attempt), "not the same event again")?;
        subscription.retry(delivery.token).await?;
    }
    ensure(number(&next(&mut subscription).await?) == 1, "what is given up holds up the next")?;
    let dead = bus.dead_letters(&scope, "g").await?;
    let told: Vec<_> = dead.iter().map(|letter| (letter.event.data().as_u64(), letter.attempts)).collect();
    ensure(told == [(Some(0), 3)], format!("the dead letters are {told:?}"))
}

async fn a_full_group_takes_nothing(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    let (mut slow, mut fast) = (bus.subscribe(&scope, "slow").await?, bus.subscribe(&scope, "fast").await?);
    publish(&*bus, "x", 0..16).await?;
    for n in 0..16 {
        let delivery = next(&mut fast).await?;
        ensure(number(&delivery) == n, "events are out of order")?;
        fast.ack(delivery.token).await?;
    }
    let refused = publish(&*bus, "x", 16..17).await;
    let unavailable = refused.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
    ensure(unavailable, format!("a full group answered {refused:?}"))?;
    nothing(&mut fast, "a refused event was delivered")?;
    let delivery = next(&mut slow).await?;
    slow.ack(delivery.token).await?;
    publish(&*bus, "x", 16..17).await?;
    ensure(number(&next(&mut fast).await?) == 16, "there is room and nothing comes")
}

async fn a_dropped_wait_loses_nothing(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    let mut subscription = bus.subscribe(&scope, "g").await?;
    for n in 0..8 {
        let before = cancel_at(1, subscription.next()).await;
        ensure(matches!(before, Cut::Dropped), "there was something to take")?;
        publish(&*bus, "x", n..n + 1).await?;
        let delivery = next(&mut subscription).await?;
        ensure(number(&delivery) == n as u64, "an event was lost with a dropped wait")?;
        subscription.ack(delivery.token).await?;
    }
    Ok(())
}

async fn an_ended_group_says_so(bus: Arc<dyn EventBus>) -> Outcome {
    let scope = platform()?;
    let mut subscription = bus.subscribe(&scope, "g").await?;
    publish(&*bus, "x", 0..1).await?;
    bus.end(&scope, "g").await?;
    let ended = subscription.next().await;
    ensure(
        ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled),
        format!("an ended group answered {ended:?}"),
    )?;
    for name in ["", "A", "a/b", &"x".repeat(65)] {
        let refused = bus.subscribe(&scope, name).await;
        ensure(refused.is_err(), format!("the group name {name:?} was taken"))?;
    }
    Ok(())
}

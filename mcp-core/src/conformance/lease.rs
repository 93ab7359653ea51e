//! The suite of leases.

use std::{sync::Arc, time::Duration};

use super::{Failure, Outcome, Report, ensure, platform};
use crate::lease::Leases;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Runs every case. Names are new to each.
pub async fn run_leases(leases: &Arc<dyn Leases>) -> Report {
    let mut report = Report::default();
    report.cases.push(("one_holder_at_a_time", one_holder_at_a_time(leases).await));
    report.cases.push(("tokens_only_rise", tokens_only_rise(leases).await));
    report.cases.push(("an_earlier_holder_is_refused", an_earlier_holder_is_refused(leases).await));
    report.cases.push(("an_ended_lease_is_not_renewed", an_ended_lease_is_not_renewed(leases).await));
    report.cases.push(("senseless_input_is_refused", senseless_input_is_refused(leases).await));
    report
}

async fn one_holder_at_a_time(leases: &Arc<dyn Leases>) -> Outcome {
    let scope = platform()?;
    let mut racers = tokio::task::JoinSet::new();
    for i in 0..8 {
        let (leases, scope) = (leases.clone(), scope.clone());
        racers.spawn(async move { leases.acquire(&scope, "race", &format!("o{i}"), LONG).await });
    }
    let mut holders = Vec::new();
    while let Some(joined) = racers.join_next().await {
        let raced = joined.map_err(|error| error.to_string())?;
        // An error means not acquired.
        holders.extend(raced.ok().flatten());
    }
    ensure(holders.len() == 1, format!("{} of 8 racers hold the lease", holders.len()))?;
    let again = leases.acquire(&scope, "race", &holders[0].owner, LONG).await?;
    ensure(again.is_none(), "the holder acquired what it holds")?;
    let other = leases.acquire(&scope, "another race", "o1", LONG).await?;
    ensure(other.is_some(), "another name is not free")
}

async fn tokens_only_rise(leases: &Arc<dyn Leases>) -> Outcome {
    let scope = platform()?;
    let mut last = 0;
    for round in 0..3 {
        let lease = leases.acquire(&scope, "rising", "o", LONG).await?;
        let lease = lease.ok_or_else(|| format!("not free in round {round}"))?;
        ensure(lease.token > last, format!("token {} after {last}", lease.token))?;
        last = lease.token;
        leases.release(&scope, &lease).await?;
    }
    Ok(())
}

async fn an_earlier_holder_is_refused(leases: &Arc<dyn Leases>) -> Outcome {
    let scope = platform()?;
    let first = leases.acquire(&scope, "taken over", "same", SHORT).await?.ok_or("not free".to_owned())?;
    let taken_over = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if let Some(second) = leases.acquire(&scope, "taken over", "same", LONG).await? {
                return Ok::<_, Failure>(second);
            }
        }
    };
    let late = |_| Failure::from("the lease did not end".to_owned());
    let second = tokio::time::timeout(Duration::from_secs(10), taken_over).await.map_err(late)??;
    ensure(second.token > first.token, "the second token is not higher")?;
    ensure(leases.renew(&scope, &first, LONG).await?.is_none(), "the first holder renewed")?;
    leases.release(&scope, &first).await?;
    let third = leases.acquire(&scope, "taken over", "third", LONG).await?;
    ensure(third.is_none(), "the first holder released the second's lease")?;
    let renewed = leases.renew(&scope, &second, LONG).await?.ok_or("the holder cannot renew".to_owned())?;
    ensure(renewed.token == second.token, "renewing changed the token")?;
    ensure(renewed.expires_at >= second.expires_at, "renewing made the lease shorter")
}

async fn an_ended_lease_is_not_renewed(leases: &Arc<dyn Leases>) -> Outcome {
    let scope = platform()?;
    let lease = leases.acquire(&scope, "ended", "o", LONG).await?.ok_or("not free".to_owned())?;
    leases.release(&scope, &lease).await?;
    ensure(leases.renew(&scope, &lease, LONG).await?.is_none(), "a released lease was renewed")
}

async fn senseless_input_is_refused(leases: &Arc<dyn Leases>) -> Outcome {
    let scope = platform()?;
    let long = "x".repeat(201);
    for (name, owner, ttl) in [
        ("", "o", LONG),
        ("n", "", LONG),
        (long.as_str(), "o", LONG),
        ("n", "o", Duration::ZERO),
        ("n", "o", Duration::MAX),
    ] {
        let refused = leases.acquire(&scope, name, owner, ttl).await;
        let kind = refused.err().map(|error| error.kind());
        ensure(
            kind == Some(crate::ErrorKind::InvalidInput),
            format!("{name:?} {owner:?} {ttl:?}: {kind:?}"),
        )?;
    }
    Ok(())
}

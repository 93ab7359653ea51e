//! A noisy neighbour: a tenant that calls as it always does, while another sends ten times what it may.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use super::NAME;
use crate::{
    Failure,
    child::Measured,
    gateway,
    load::{Connection, Post},
    platform::Platform,
    row::Row,
    upstream::Era,
};

/// Calls a second of the tenant that is looked at.
const VICTIM: u32 = 400;
/// Requests a minute that the other one may send, and what it sends in each of its seconds.
const LIMIT: u32 = 6_000;
const FLOOD: u32 = 10 * LIMIT / 60;
/// Connections of either.
const CONNECTIONS: u32 = 16;

/// Runs every case.
///
/// # Errors
/// When a part does not start, or the one that sends too much is not held back.
pub(super) async fn run(span: Duration, program: &Path) -> Result<Vec<Row>, Failure> {
    let upstream = Measured::part(&["__upstream", Era::Modern.version()]).await?;
    let directory = tempfile::tempdir()?;
    let platform = Platform::prepare(program, directory.path(), Some(upstream.address), "")?;
    let victim = platform.tenant("victim", u32::MAX).await?;
    let aggressor = platform.tenant("aggressor", LIMIT).await?;
    let served = platform.serve().await?;
    let call = call(&victim);
    // Warmed up: connections, caches, the first list.
    paced(served.address, &call, VICTIM, span / 4).await?;
    let alone = paced(served.address, &call, VICTIM, span).await?;

    let mut flood = Flood::start(served.address, &aggressor, span).await?;
    let beside = paced(served.address, &call, VICTIM, span).await?;
    let flooded = flood.end().await?;
    if flooded.refused < flooded.allowed {
        return Err(format!("the limit did not hold: {flooded:?}").into());
    }
    let allowed = flooded.allowed as f64 / flooded.seconds;
    let sent = (flooded.allowed + flooded.refused) as f64 / flooded.seconds;
    Ok(vec![
        Row::more(NAME, "victim succeeds".to_owned(), "%", beside.succeeded(), alone.succeeded()),
        Row::less(NAME, "victim p50".to_owned(), "us", beside.micros(0.5), alone.micros(0.5)),
        Row::less(NAME, "victim p99".to_owned(), "us", beside.micros(0.99), alone.micros(0.99)),
        Row::less(NAME, "aggressor is let through".to_owned(), "1/s", allowed, f64::from(LIMIT) / 60.0),
        Row::more(NAME, "aggressor sends".to_owned(), "1/s", sent, f64::from(FLOOD)),
    ])
}

/// Sends what is too much, until the span is over: first all that the limit lets through at once, then, once
/// it is held back and has said so, at its pace.
///
/// # Errors
/// When the platform does not answer, or never refuses.
pub(crate) async fn flood(to: SocketAddr, key: &str, per_second: u32, span: Duration) -> Result<(), Failure> {
    let call = call(key);
    let mut connection = Connection::open(to).await?;
    let mut refused = false;
    for _ in 0..LIMIT * 2 {
        if connection.send(&call).await? == StatusCode::TOO_MANY_REQUESTS {
            refused = true;
            break;
        }
    }
    if !refused {
        return Err("the aggressor was never refused".into());
    }
    say(&"held back")?;
    let paced = paced(to, &call, per_second, span).await?;
    say(&Flooded { allowed: paced.good, refused: paced.refused, seconds: paced.seconds })
}

/// What came of a flood.
#[derive(Debug, Serialize, Deserialize)]
struct Flooded {
    allowed: u64,
    refused: u64,
    seconds: f64,
}

/// The process that floods, so that its work is not the victim's.
struct Flood {
    // Killed when this is dropped.
    _child: tokio::process::Child,
    said: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Flood {
    /// Starts it and waits until it is held back.
    async fn start(to: SocketAddr, key: &str, span: Duration) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["__flood", &to.to_string(), key, &FLOOD.to_string(), &span.as_secs_f64().to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let mut flood = Self { _child: child, said };
        flood.next().await?;
        Ok(flood)
    }

    async fn end(&mut self) -> Result<Flooded, Failure> {
        Ok(serde_json::from_str(&self.next().await?)?)
    }

    async fn next(&mut self) -> Result<String, Failure> {
        self.said.next_line().await?.ok_or_else(|| "the flood ended too early".into())
    }
}

fn say(what: &impl Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

fn call(key: &str) -> Post {
    gateway::post(Era::Modern, "up__echo", &[("authorization", &format!("Bearer {key}"))])
}

/// What came of calls at a steady pace.
struct Paced {
    good: u64,
    refused: u64,
    failed: u64,
    seconds: f64,
    /// In nanoseconds.
    latency: Histogram<u64>,
}

impl Paced {
    fn succeeded(&self) -> f64 {
        self.good as f64 * 100.0 / (self.good + self.refused + self.failed) as f64
    }

    fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// Sends `per_second` calls in each second over all connections together. A call that could not begin in time
/// because the one before it took too long has waited since then.
async fn paced(to: SocketAddr, call: &Post, per_second: u32, span: Duration) -> Result<Paced, Failure> {
    let interval = Duration::from_secs(1) * CONNECTIONS / per_second;
    let started = Instant::now();
    let one = async |n: u32| {
        let mut connection = Connection::open(to).await?;
        let (mut statuses, mut latency) = ([0_u64; 3], Histogram::<u64>::new(3)?);
        let mut due = started + interval * n / CONNECTIONS;
        while due < started + span {
            let late = Instant::now() > due;
            if !late {
                tokio::time::sleep_until(due.into()).await;
            }
            let begun = if late { due } else { Instant::now() };
            match connection.send(call).await {
                Ok(StatusCode::OK) => statuses[0] += 1,
                Ok(StatusCode::TOO_MANY_REQUESTS) => statuses[1] += 1,
                Ok(_) => statuses[2] += 1,
                Err(_) => {
                    statuses[2] += 1;
                    connection = Connection::open(to).await?;
                }
            }
            latency.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            due += interval;
        }
        Ok::<_, Failure>((statuses, latency))
    };
    let mut all = Paced { good: 0, refused: 0, failed: 0, seconds: 0.0, latency: Histogram::new(3)? };
    for (statuses, latency) in futures_util::future::try_join_all((0..CONNECTIONS).map(one)).await? {
        let [good, refused, failed] = statuses;
        (all.good, all.refused, all.failed) = (all.good + good, all.refused + refused, all.failed + failed);
        all.latency.add(latency)?;
    }
    all.seconds = started.elapsed().as_secs_f64();
    Ok(all)
}

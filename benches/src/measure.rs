//! Work that is done over and over, and what it took.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{Failure, row::Row};

/// What a run measured.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    /// In nanoseconds.
    latency: Histogram<u64>,
}

impl Measure {
    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Latency in microseconds below which this part was done.
    pub(crate) fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// Workers that each take the next `step` when the last is done, for `span`.
///
/// # Errors
/// The first step's that fails: a bench of errors would measure something else.
pub(crate) async fn closed_loop<W>(
    workers: Vec<W>,
    span: Duration,
    step: impl AsyncFn(&mut W) -> Result<(), Failure>,
) -> Result<Measure, Failure> {
    let started = Instant::now();
    let until = started + span;
    let step = &step;
    let loops = workers.into_iter().map(|mut worker| async move {
        let mut latency = Histogram::<u64>::new(3)?;
        while Instant::now() < until {
            let begun = Instant::now();
            step(&mut worker).await?;
            latency.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        }
        Ok::<_, Failure>(latency)
    });
    let mut latency = Histogram::<u64>::new(3)?;
    for part in futures_util::future::try_join_all(loops).await? {
        latency.add(part)?;
    }
    Ok(Measure { done: latency.len(), seconds: started.elapsed().as_secs_f64(), latency })
}

/// A measure, and the CPU seconds it cost.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) measure: Measure,
    cpu: f64,
}

impl Cost {
    /// Runs `load` once for a short while to warm up, then for `span`, and reads the CPU time with `cpu` before
    /// and after.
    ///
    /// # Errors
    /// The load's, and when the CPU time cannot be read.
    pub(crate) async fn of(
        span: Duration,
        cpu: impl Fn() -> Result<f64, Failure>,
        load: impl AsyncFn(Duration) -> Result<Measure, Failure>,
    ) -> Result<Self, Failure> {
        load(span / 4).await?;
        let before = cpu()?;
        let measure = load(span).await?;
        Ok(Self { measure, cpu: cpu()? - before })
    }

    fn cpu_per_thousand(&self) -> f64 {
        self.cpu * 1_000.0 / self.measure.done as f64
    }

    /// Rate and CPU, ours beside the reference's.
    pub(crate) fn rates(&self, reference: &Self, bench: &'static str, case: &str, what: &str) -> [Row; 2] {
        let (rate, other) = (self.measure.per_second(), reference.measure.per_second());
        let (cpu, others) = (self.cpu_per_thousand(), reference.cpu_per_thousand());
        [
            Row::more(bench, format!("{case} {what}"), "1/s", rate, other),
            Row::less(bench, format!("{case} CPU per 1000"), "s", cpu, others),
        ]
    }

    /// Latencies, ours beside the reference's.
    pub(crate) fn latencies(&self, reference: &Self, bench: &'static str, case: &str) -> [Row; 2] {
        [("p50", 0.5), ("p99", 0.99)].map(|(name, quantile)| {
            let (ours, theirs) = (self.measure.micros(quantile), reference.measure.micros(quantile));
            Row::less(bench, format!("{case} {name}"), "us", ours, theirs)
        })
    }
}

/// CPU seconds that a process has used, its children not counted: `self`, or a number.
///
/// # Errors
/// When it is gone.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold blanks; the fields after it do not.
    let fields: Vec<&str> =
        stat.rsplit_once(')').ok_or("unreadable /proc/PID/stat")?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11).ok_or("no utime")?.parse::<f64>()?
        + fields.get(12).ok_or("no stime")?.parse::<f64>()?;
    // USER_HZ is 100 on every Linux that runs this.
    Ok(ticks / 100.0)
}

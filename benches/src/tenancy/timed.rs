//! The time of one call, ours and the reference's in turn, so that what else the machine does hits both.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// What counts as time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Time {
    /// CPU time of this thread: for work that is all done on it.
    Cpu,
    /// Time that passes: for work that waits for others.
    Wall,
}

/// Microseconds that one of `calls` takes.
///
/// # Errors
/// The first call's that fails.
pub(super) async fn per_call(
    time: Time,
    calls: usize,
    mut call: impl AsyncFnMut(usize) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let started = time.now();
    for n in 0..calls {
        call(n).await?;
    }
    Ok((time.now() - started) * 1e6 / calls as f64)
}

/// What `ours` and `reference` answer, in turn until `span` has passed: the medians.
///
/// # Errors
/// Those of either.
pub(super) async fn in_turn(
    span: Duration,
    mut ours: impl AsyncFnMut() -> Result<f64, Failure>,
    mut reference: impl AsyncFnMut() -> Result<f64, Failure>,
) -> Result<[f64; 2], Failure> {
    // Warmed up: connections, caches, keys.
    ours().await?;
    reference().await?;
    let (mut of_ours, mut of_reference) = (Vec::new(), Vec::new());
    let until = Instant::now() + span;
    while of_ours.is_empty() || Instant::now() < until {
        of_ours.push(ours().await?);
        of_reference.push(reference().await?);
    }
    Ok([median(of_ours), median(of_reference)])
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Time {
    /// Seconds since some moment.
    fn now(self) -> f64 {
        let clock = match self {
            Self::Cpu => ClockId::ThreadCPUTime,
            Self::Wall => ClockId::Monotonic,
        };
        let now = clock_gettime(clock);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_costs_time_but_no_cpu() {
        let wait = async |_| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        };
        assert!(per_call(Time::Wall, 2, wait).await.unwrap() >= 20_000.0);
        assert!(per_call(Time::Cpu, 2, wait).await.unwrap() < 10_000.0);
    }

    #[tokio::test]
    async fn medians_leave_out_what_a_busy_machine_does() {
        let mut figures = [1.0, 2.0, 900.0].into_iter().cycle();
        let ours = async || Ok(figures.next().unwrap());
        let [ours, reference] = in_turn(Duration::from_millis(20), ours, async || Ok(7.0)).await.unwrap();
        assert!(ours < 3.0 && (reference - 7.0).abs() < 1e-9, "{ours} {reference}");
    }
}

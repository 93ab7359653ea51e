//! Named steps with their times, and a table of them at the end.

use std::time::{Duration, Instant};

use crate::sh::{Failure, Result};

/// The steps of one run, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step and notes its time.
    ///
    /// # Errors
    /// The step's own failure, with the step's name before it.
    pub(crate) fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n━━ {name}");
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        match outcome {
            Ok(value) => {
                println!("━━ {name}: {}", show(took));
                self.done.push((name.to_owned(), took));
                Ok(value)
            }
            Err(failure) => {
                Err(Failure::new(format!("step `{name}` failed after {}: {failure}", show(took))))
            }
        }
    }

    /// Prints each step with its time, and the sum.
    pub(crate) fn report(&self) {
        let width =
            self.done.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("all".len());
        println!();
        for (name, took) in &self.done {
            println!("{name:width$}  {:>9}", show(*took));
        }
        println!("{:width$}  {:>9}", "all", show(self.done.iter().map(|(_, took)| *took).sum()));
    }
}

fn show(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 60 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_step_and_is_not_counted() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("first", || Ok(1)).unwrap(), 1);
        let failure = steps.run("second", || Err::<(), _>(Failure::new("no"))).unwrap_err().to_string();
        assert!(failure.contains("`second`") && failure.ends_with(": no"), "{failure}");
        assert_eq!(steps.done.len(), 1);
    }

    #[test]
    fn times_are_shown_for_people() {
        assert_eq!(show(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(show(Duration::from_secs(125)), "2 m 05 s");
    }
}

//! `cargo xtask fuzz`: the fuzz targets, built with instrumentation by the compiler that builds all else.

use std::process::Command;

use crate::cargo_tool;
use crate::sh::{self, Context, Failure, Result};

/// The version whose flags are used here.
const VERSION: &str = "0.13.2";
/// The targets: a module of `fuzz/src` and a folder of `fuzz/seeds` each.
const TARGETS: [&str; 6] = ["token", "header", "policy", "config", "tenants", "pii"];
/// An input that takes longer than this has been found slow, which is a failure.
const SLOW_SECONDS: u32 = 25;
/// Longest input: what is large is bounded before it is read.
const MOST_BYTES: u32 = 8 * 1024;

/// Runs one target, or all of them, for so long each; what they find new is kept under the target directory, and
/// tried again the next time.
///
/// # Errors
/// The first target's that fails, and when cargo-fuzz cannot be installed.
pub(crate) fn run(target: Option<&str>, seconds: u32, release: bool) -> Result {
    let chosen: Vec<_> =
        TARGETS.into_iter().filter(|name| target.is_none_or(|target| target == *name)).collect();
    if chosen.is_empty() {
        return Err(Failure::new(format!("there is no such target; there are {}", TARGETS.join(", "))));
    }
    let program = cargo_tool::installed("cargo-fuzz", VERSION)?;
    let built = sh::metadata()?.target_directory.join("fuzz");
    for name in chosen {
        let corpus = built.join("corpus").join(name);
        std::fs::create_dir_all(&corpus).context(format!("making {}", corpus.display()))?;
        let mut fuzz = Command::new(&program);
        // Sanitizers need a nightly compiler. There is no unsafe code of ours for them to look at.
        fuzz.current_dir(sh::root()).args([
            "run",
            "--fuzz-dir",
            "fuzz",
            "--sanitizer",
            "none",
            "--target-dir",
        ]);
        fuzz.arg(&built).args((!release).then_some("--dev")).arg(name);
        fuzz.arg(&corpus).arg(sh::root().join("fuzz/seeds").join(name)).arg("--");
        fuzz.args([
            format!("-max_total_time={seconds}"),
            format!("-timeout={SLOW_SECONDS}"),
            format!("-max_len={MOST_BYTES}"),
            "-rss_limit_mb=4096".to_owned(),
            "-print_final_stats=1".to_owned(),
        ]);
        sh::run(&mut fuzz)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that is not listed would never run.
    #[test]
    fn every_target_is_run_and_has_seeds() {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(sh::root().join("fuzz").join(folder)).unwrap().flatten();
            let mut names: Vec<_> = entries
                .map(|entry| entry.path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let mut listed = TARGETS.map(str::to_owned);
        listed.sort();
        assert_eq!(names("fuzz_targets"), listed);
        assert_eq!(names("seeds"), listed);
    }
}

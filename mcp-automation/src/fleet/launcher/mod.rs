//! The process between the platform and each stdio server.
//!
//! A server may start others (`npx` starts `node`, which starts what it likes), and all of them have to end
//! with the platform, also when that is killed with `kill -9` and can do nothing any more. So each server
//! runs below a small launcher: it is the subreaper of everything the server starts, in whatever process
//! group or session, and holds one end of a socket whose other end only the platform has. When the platform
//! closes its end, or dies, the launcher ends the server's process group and whatever else is left below it,
//! within 5 s, and then itself.
//!
//! A program that embeds the fleet is its own launcher: call [`run_if_launched`] first thing in `main`. A
//! host whose executable is not its own ships the program `mcp-launcher` instead and names it with
//! [`Launcher::Program`], or starts its interpreter (Python, Node) with a line that calls [`run`] and names that
//! with [`Launcher::Command`].

mod descendants;
mod guard;
mod order;
mod spawn;

use std::{
    ffi::OsStr,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

pub(crate) use order::Order;
pub(crate) use spawn::{Guard, Process, launch};

/// The first argument of a program that is run as launcher.
const SENTINEL: &str = "__mcp-launcher";

/// Whether this program can be its own launcher.
static CAN_REEXEC: AtomicBool = AtomicBool::new(false);

/// Which program is the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Launcher {
    /// This program again; its `main` must begin with [`run_if_launched`].
    #[default]
    ThisProgram,
    /// The program `mcp-launcher` at this path.
    Program(PathBuf),
    /// A program that calls [`run`] when it is given these arguments. It starts with an empty environment.
    Command {
        /// Its path.
        program: PathBuf,
        /// What makes it call [`run`].
        args: Vec<String>,
    },
}

/// Turns this process into a launcher if it was started as one, and returns otherwise.
///
/// Call it first in `main`, before a runtime or any thread is started. Where it acts as a launcher it does
/// not return.
pub fn run_if_launched() {
    CAN_REEXEC.store(true, Ordering::Release);
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(SENTINEL)) {
        std::process::exit(run());
    }
}

/// Acts as launcher and returns the exit status: the whole `main` of the program `mcp-launcher`.
///
/// The process must do nothing else: it reaps every child, and its standard input is the platform's socket.
#[must_use]
pub fn run() -> i32 {
    match guard::run() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

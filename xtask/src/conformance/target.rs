//! The servers under test, started for one run and ended with it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::sh::{self, Context, Failure, Result};

/// How long a server may take to say where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: String,
    child: Child,
}

impl Drop for Target {
    fn drop(&mut self) {
        // Fails only where it has ended already, and then `wait` just reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fixture, speaking `protocol`, with nothing in front of it.
///
/// # Errors
/// When it does not build or start.
pub(super) fn fixture(protocol: &str) -> Result<Target> {
    let program = build("mcp-fixture")?;
    // The suite asks for errors on purpose, and the fixture would log each.
    start(
        Command::new(program).args(["--http", "127.0.0.1:0", "--protocol", protocol]).env("RUST_LOG", "off"),
    )
}

/// Builds a program of ours and says where it is.
fn build(package: &str) -> Result<std::path::PathBuf> {
    sh::output(sh::cargo().args(["build", "--quiet", "--locked", "--package", package]))?;
    Ok(sh::metadata()?.target_directory.join("debug").join(package))
}

/// Starts a server that prints its URL as its first line.
fn start(command: &mut Command) -> Result<Target> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut target = Target { url: String::new(), child: child.context("starting a server")? };
    let Some(stdout) = target.child.stdout.take() else {
        return Err(Failure::new("a server was started without its standard output"));
    };
    let (sender, receiver) = std::sync::mpsc::channel();
    // Ends with the server, whose drop closes the pipe.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).map(|_| line);
        // Nobody waits any more: the server was too slow and is gone.
        let _ = sender.send(read);
    });
    let line = receiver.recv_timeout(START_TIMEOUT).context("waiting for a server's URL")?;
    target.url = line.context("reading a server's URL")?.trim().to_owned();
    if target.url.starts_with("http://") {
        return Ok(target);
    }
    Err(Failure::new(format!("a server was to print its URL, not {:?}", target.url)))
}

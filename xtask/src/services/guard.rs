//! Servers that cannot be left behind.
//!
//! A server is the child of a guard, a process of this same program in a process group of its own, which
//! stops the server and removes its directory once the pipe from us closes. It closes when we drop the
//! [`Server`], and as well when we are killed in whatever way, so Ctrl-C needs no handler.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::sh::{Context, Failure, Result};

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(60);
/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);
/// What the guard writes once the server serves.
const READY: &str = "ready";
/// How much of a server's log is shown when it fails.
const LAST_LINES: usize = 20;

/// A running server, stopped and removed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    guard: Child,
    /// What the guard says: that the server serves, later its last lines should it end by itself.
    said: Receiver<String>,
}

impl Server {
    /// Starts a server under a guard, and returns once it has said `ready` on standard error.
    ///
    /// From here on `dir` belongs to the guard, also when this fails.
    ///
    /// # Errors
    /// When the server ends or says nothing in time; the failure carries its last lines.
    pub(crate) fn start(dir: &Path, ready: &str, server: &[String]) -> Result<Self> {
        let program = std::env::current_exe().context("finding our own program")?;
        let mut guard = Command::new(program)
            .args(["guard", "--dir", &super::argument(dir), "--ready", ready, "--"])
            .args(server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting the guard of a server")?;
        let stdout =
            guard.stdout.take().ok_or_else(|| Failure::new("the guard of a server has no output"))?;
        let started = Self { guard, said: lines(stdout) };
        let mut last = Vec::new();
        let failure = loop {
            match started.said.recv_timeout(START) {
                Ok(line) if line == READY => return Ok(started),
                Ok(line) => last.push(line),
                Err(RecvTimeoutError::Timeout) => break format!("it did not say `{ready}` in {START:?}"),
                Err(RecvTimeoutError::Disconnected) => break "it ended at once".to_owned(),
            }
        };
        Err(Failure::new(format!("a server did not start: {failure}\n{}", last.join("\n"))))
    }

    /// Waits for the server to end by itself.
    ///
    /// # Errors
    /// Always: a server that ends by itself has failed.
    pub(crate) fn wait(&mut self) -> Result {
        // `Child::wait` closes the pipe, which is the order to stop; keep it open meanwhile.
        let _order = self.guard.stdin.take();
        let status = self.guard.wait().context("waiting for the guard of a server")?;
        let last: Vec<_> = self.said.iter().collect();
        Err(Failure::new(format!("a server ended by itself ({status})\n{}", last.join("\n"))))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        if let Err(error) = self.guard.wait() {
            eprintln!("xtask: the guard of a server cannot be waited for: {error}");
        }
    }
}

/// What ends a guard's watch.
enum Event {
    /// Whoever started us dropped the server, or is dead.
    Orphaned,
    /// The server ended by itself; its last lines.
    Ended(Vec<String>),
}

/// The guard itself: `cargo xtask guard`, not for people.
///
/// # Errors
/// When the server cannot be started or ends by itself.
pub(crate) fn guard(dir: &Path, ready: &str, server: &[String]) -> Result {
    let outcome = watch(dir, ready, server);
    std::fs::remove_dir_all(dir).context(format!("removing {}", dir.display()))?;
    outcome
}

fn watch(dir: &Path, ready: &str, server: &[String]) -> Result {
    let (program, arguments) = server.split_first().ok_or_else(|| Failure::new("no server was named"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(format!("starting `{program}`"))?;
    let (events, next) = channel();
    if let Some(log) = child.stderr.take() {
        read_log(log, ready.to_owned(), events.clone());
    }
    thread::spawn(move || {
        // Nothing is ever written to us: the end of the input is the order to stop.
        let _closed = std::io::stdin().read_to_end(&mut Vec::new());
        let _gone = events.send(Event::Orphaned);
    });
    let outcome = match next.recv() {
        Ok(Event::Ended(last)) => {
            say(&last.join("\n"));
            Err(Failure::new("the server ended by itself"))
        }
        Ok(Event::Orphaned) | Err(_) => ask_to_stop(&child, &next),
    };
    // It has ended, or would not.
    child.kill().context("killing a server")?;
    child.wait().context("waiting for a server")?;
    outcome
}

/// Stops a server and waits for its end, within limits: its data are thrown away, so it need not tidy up more
/// than its own memory.
fn ask_to_stop(server: &Child, next: &Receiver<Event>) -> Result {
    // QUIT is PostgreSQL's immediate stop, and ends other programs as well.
    kill_process(Pid::from_child(server), Signal::QUIT).context("stopping a server")?;
    match next.recv_timeout(STOP) {
        Ok(_) | Err(RecvTimeoutError::Disconnected) => Ok(()),
        Err(RecvTimeoutError::Timeout) => Err(Failure::new(format!("a server did not stop in {STOP:?}"))),
    }
}

/// Follows a server's log, tells our starter when the server serves, and keeps the last lines.
fn read_log(log: ChildStderr, ready: String, events: Sender<Event>) {
    thread::spawn(move || {
        let mut last = VecDeque::with_capacity(LAST_LINES);
        let mut serves = false;
        for line in BufReader::new(log).lines().map_while(std::result::Result::ok) {
            if !serves && line.contains(&ready) {
                serves = true;
                say(READY);
            }
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        let _gone = events.send(Event::Ended(last.into()));
    });
}

/// Tells our starter; where it is dead, nobody needs to know.
fn say(text: &str) {
    let _dead = writeln!(std::io::stdout(), "{text}");
}

/// The lines of a stream, read by a thread so that waiting for them can have a limit.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(std::result::Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

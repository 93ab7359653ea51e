//! A server as a child process: started until it says where it listens, and ended gently.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::sh::{Context, Failure, Result};

/// How long a server may take to say where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a server may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server, ended when dropped.
pub(super) struct Process {
    child: Option<Child>,
}

impl Process {
    /// Starts a server and waits for its first line, which must hold its URL.
    ///
    /// # Errors
    /// When it does not start, or ends or says something else first.
    pub(super) fn start(command: &mut Command, scheme: &str) -> Result<(Self, String)> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.context(format!("starting {}", command.get_program().display()))?;
        let stdout = child.stdout.take();
        let process = Self { child: Some(child) };
        let Some(stdout) = stdout else { return Err(Failure::new("a server without standard output")) };
        let line = first_line(stdout)?;
        match line.find(scheme) {
            Some(at) => Ok((process, line[at..].trim().to_owned())),
            None => Err(Failure::new(format!("a server was to print its URL, not {line:?}"))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_child(&child);
        let (sender, ended) = mpsc::channel();
        // A signal to a child that nobody has waited for reaches that child or nobody, so failures are fine.
        let _ = kill_process(pid, Signal::TERM);
        let waiter = std::thread::spawn(move || {
            let _ = child.wait();
            let _ = sender.send(());
        });
        if ended.recv_timeout(STOP_TIMEOUT).is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = waiter.join();
    }
}

/// The first line; what follows is read and forgotten, so that the server can go on writing.
fn first_line(stdout: ChildStdout) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    // Ends with the server, whose end closes the pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            // Only the first is waited for.
            let _ = sender.send(line);
        }
    });
    let line = receiver.recv_timeout(START_TIMEOUT).context("waiting for a server's URL")?;
    line.context("reading a server's URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_started_by_its_url_and_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo serves http://127.0.0.1:1/mcp; echo more; exec sleep 600"]);
        let (process, url) = Process::start(&mut command, "http://").unwrap();
        assert_eq!(url, "http://127.0.0.1:1/mcp");
        let pid = Pid::from_child(process.child.as_ref().unwrap());
        drop(process);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it is gone");
    }

    #[test]
    fn a_server_that_says_something_else_is_refused() {
        let mut command = Command::new("sh");
        let failure = Process::start(command.args(["-c", "echo oops"]), "http://").err().unwrap();
        assert!(failure.to_string().contains("oops"), "{failure}");
        let mut command = Command::new("sh");
        assert!(Process::start(command.args(["-c", "exit 1"]), "http://").is_err());
    }
}

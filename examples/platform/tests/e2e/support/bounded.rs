//! Nothing is waited for without an end: a test that hangs holds up all behind it and does not say for what.

use std::{
    future::Future,
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::processes;

/// Longest wait for an answer, a line, or a program with little to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The same for programs that install packages or make requests by the hundred.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// What `work` gives, or a panic that says what was waited for.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(LIMIT, work).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// Asks again and again until it holds: what is waited for happens in other processes.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let asking = async {
        while !holds().await {
            ticks.tick().await;
        }
    };
    within(what, asking).await;
}

/// Runs a program to its end, without input, and returns what it said.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Output {
    let what = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{what}: {error}; `cargo xtask test` installs it"));
    ended(&what, child, limit, |child| child.wait_with_output().unwrap())
}

/// Waits for a process that is about to end.
pub(crate) fn status(what: &str, child: Child) -> ExitStatus {
    ended(what, child, LIMIT, |mut child| child.wait().unwrap())
}

/// What `wait` gives; a process that does not end is killed.
fn ended<T: Send + 'static>(
    what: &str,
    child: Child,
    limit: Duration,
    wait: impl FnOnce(Child) -> T + Send + 'static,
) -> T {
    let (pid, (send, receive)) = (child.id(), mpsc::channel());
    let waiting = thread::spawn(move || send.send(wait(child)));
    match receive.recv_timeout(limit) {
        Ok(done) => done,
        Err(RecvTimeoutError::Timeout) => {
            processes::kill(pid);
            panic!("{what}: did not end within {limit:?}")
        }
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: {:?}", waiting.join()),
    }
}

/// What a process writes, line by line.
pub(crate) struct Lines {
    what: String,
    limit: Duration,
    received: mpsc::Receiver<String>,
}

impl Lines {
    /// Reads to the end, whether or not anybody takes the lines: nobody who writes is held up or cut off.
    pub(crate) fn of(what: &str, stream: impl Read + Send + 'static, limit: Duration) -> Self {
        let (send, received) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { what: what.to_owned(), limit, received }
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        match self.received.recv_timeout(self.limit) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{}: no line within {:?}", self.what, self.limit),
        }
    }
}

//! The launcher's own process: starts the server, waits, and ends everything below itself.

use std::{
    collections::BTreeMap,
    io::{self, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
    process::{self, Pid, Signal, WaitOptions},
};

use super::{
    descendants,
    order::{Exit, MAX_ORDER, Order, Report},
};

/// How long a server may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long everything may take to end after SIGKILL; together with the grace less than 5 s.
const LAST: Duration = Duration::from_millis(2500);

enum Event {
    Ended(Pid, Exit),
    NoChildren,
    Stop,
}

/// Runs one server as ordered over standard input, which is the platform's socket.
pub(super) fn run() -> io::Result<()> {
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    process::set_child_subreaper(Some(process::getpid()))?;
    let (order, stdio) = receive_order(&mut control)?;
    let child = match start(order, stdio) {
        Ok(child) => child,
        Err(error) => {
            report(&mut control, &Report::Failed { error: error.to_string() });
            report(&mut control, &Report::Gone);
            return Ok(());
        }
    };
    report(&mut control, &Report::Started { pid: child.as_raw_pid() });

    let (send, events) = mpsc::channel();
    watch_control(control.try_clone()?, send.clone());
    watch_children(send);
    let mut server = Server { child, alive: true, control };
    server.until_over(&events);
    // Where something is left, the platform is to look for itself.
    if server.end_all(&events) {
        report(&mut server.control, &Report::Gone);
    }
    Ok(())
}

struct Server {
    child: Pid,
    /// Not yet reaped, so its number cannot have been given to another process.
    alive: bool,
    control: UnixStream,
}

impl Server {
    /// Waits until the server ends or the platform wants it to.
    fn until_over(&mut self, events: &Receiver<Event>) {
        while let Ok(event) = events.recv() {
            match event {
                Event::Ended(pid, exit) => self.reaped(pid, exit),
                Event::NoChildren | Event::Stop => return,
            }
            if !self.alive {
                return;
            }
        }
    }

    /// Ends the server, its group, and every process below this one. Returns whether nothing is left.
    fn end_all(&mut self, events: &Receiver<Event>) -> bool {
        self.signal(Signal::TERM);
        if self.wait_for_none(events, GRACE) {
            return true;
        }
        let until = Instant::now() + LAST;
        while Instant::now() < until {
            // Again and again, as one may have forked between being listed and being killed.
            self.signal(Signal::KILL);
            if self.wait_for_none(events, Duration::from_millis(50)) {
                return true;
            }
        }
        false
    }

    fn signal(&self, signal: Signal) {
        if self.alive {
            let _ = process::kill_process_group(self.child, signal);
        }
        for pid in descendants::of(process::getpid()) {
            let _ = process::kill_process(pid, signal);
        }
    }

    /// Whether no child is left within `wait`.
    fn wait_for_none(&mut self, events: &Receiver<Event>, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::Ended(pid, exit)) => self.reaped(pid, exit),
                Ok(Event::NoChildren) => return true,
                Ok(Event::Stop) => {}
                Err(RecvTimeoutError::Timeout) => return false,
                // Nobody counts any more, so what is left is looked for.
                Err(RecvTimeoutError::Disconnected) => {
                    return descendants::of(process::getpid()).is_empty();
                }
            }
        }
    }

    fn reaped(&mut self, pid: Pid, exit: Exit) {
        if pid == self.child && self.alive {
            self.alive = false;
            report(&mut self.control, &Report::Exited(exit));
        }
    }
}

/// Reads the order: three descriptors with one byte, the length, and JSON.
fn receive_order(control: &mut UnixStream) -> io::Result<(Order, [OwnedFd; 3])> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(
        &*control,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let stdio =
        <[OwnedFd; 3]>::try_from(descriptors).map_err(|_| malformed("three descriptors were to come"))?;

    let mut length = [0; 4];
    control.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_ORDER {
        return Err(malformed("the order is too long"));
    }
    let mut json = vec![0; length as usize];
    control.read_exact(&mut json)?;
    Ok((serde_json::from_slice(&json)?, stdio))
}

fn start(order: Order, [stdin, stdout, stderr]: [OwnedFd; 3]) -> io::Result<Pid> {
    let Order { command, args, env, cwd } = order;
    let env: BTreeMap<String, String> = env;
    let mut process = Command::new(&command);
    process.args(args).env_clear().envs(env).process_group(0);
    process.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    if let Some(cwd) = cwd {
        process.current_dir(cwd);
    }
    // The thread that reaps children sees this one too, so the handle is not needed to wait.
    let child = process.spawn()?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| malformed("no process id"))
}

fn report(control: &mut UnixStream, report: &Report) {
    // Where the platform is dead there is nobody to tell, and what is to be done does not change.
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = control.write_all(&line);
    }
}

/// The platform says nothing after the order: its end of the socket closes when it is to stop or is dead.
fn watch_control(mut control: UnixStream, events: Sender<Event>) {
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(control.read(&mut byte), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
        let _ = events.send(Event::Stop);
    });
}

/// Reaps children and adopted orphans as they end, until none is left.
fn watch_children(events: Sender<Event>) {
    std::thread::spawn(move || {
        loop {
            let event = match process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => Event::Ended(
                    pid,
                    Exit { code: status.exit_status(), signal: status.terminating_signal() },
                ),
                Ok(None) | Err(rustix::io::Errno::INTR) => continue,
                Err(_) => {
                    let _ = events.send(Event::NoChildren);
                    return;
                }
            };
            if events.send(event).is_err() {
                return;
            }
        }
    });
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_only_where_that_was_seen() {
        let (control, _platform) = UnixStream::pair().unwrap();
        let mut server = Server { child: process::getpid(), alive: false, control };
        let (send, events) = mpsc::channel();
        send.send(Event::Stop).unwrap();
        assert!(!server.wait_for_none(&events, Duration::from_millis(10)));
        send.send(Event::NoChildren).unwrap();
        assert!(server.wait_for_none(&events, Duration::from_secs(10)));
    }
}

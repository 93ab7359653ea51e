//! The platform's side of a launcher.

use std::{
    io::{self, IoSlice, PipeReader, PipeWriter},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    process::Stdio,
    sync::atomic::Ordering,
    time::Duration,
};

use mcp_core::{Error, ErrorKind, Result};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
    process::{self, Pid, Signal},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        UnixStream,
        unix::{
            OwnedReadHalf, OwnedWriteHalf,
            pipe::{Receiver, Sender},
        },
    },
    process::{Child, Command},
};

use super::{
    CAN_REEXEC, Launcher, SENTINEL, descendants,
    order::{Exit, Order, Report},
};

/// The environment variable that marks every process of one launch with a random value.
pub(crate) const MARKER: &str = "MCP_PLATFORM_INSTANCE";

/// How long a launcher may take to end everything; its own limits add up to less.
const STOP: Duration = Duration::from_secs(6);

/// A running server and its pipes.
pub(crate) struct Process {
    pub(crate) stdin: Sender,
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
    pub(crate) guard: Guard,
}

/// The hold on a server's process. When it is dropped the launcher ends the server.
pub(crate) struct Guard {
    pub(crate) pid: Pid,
    launcher: Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    control: OwnedWriteHalf,
    marker: String,
    exit: Option<Exit>,
}

/// Starts a server below a launcher.
///
/// # Errors
/// [`Upstream`](ErrorKind::Upstream) where the command cannot be run, with the reason;
/// [`Unavailable`](ErrorKind::Unavailable) where there is no launcher.
///
/// # Cancellation
/// Safe: the launcher ends what it has started.
pub(crate) async fn launch(launcher: &Launcher, mut order: Order) -> Result<Process> {
    let no_launcher = |error: io::Error| {
        Error::new(ErrorKind::Unavailable, "fleet.launch", "the launcher cannot be started")
            .with_source(error)
    };
    let marker = uuid::Uuid::new_v4().simple().to_string();
    order.env.insert(MARKER.to_owned(), marker.clone());

    let (ours, theirs) = StdStream::pair().map_err(no_launcher)?;
    let launcher =
        command(launcher)?.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().map_err(no_launcher)?;
    let (stdin, stdout, stderr) = send_pipes(&ours).map_err(no_launcher)?;
    ours.set_nonblocking(true).map_err(no_launcher)?;
    let (reports, mut control) = UnixStream::from_std(ours).map_err(no_launcher)?.into_split();
    send_order(&mut control, &order).await.map_err(no_launcher)?;

    let mut reports = BufReader::new(reports).lines();
    match next(&mut reports).await {
        Some(Report::Started { pid }) => {
            let pid = Pid::from_raw(pid).ok_or_else(|| no_launcher(io::ErrorKind::InvalidData.into()))?;
            let guard = Guard { pid, launcher, reports, control, marker, exit: None };
            Ok(Process { stdin, stdout, stderr, guard })
        }
        Some(Report::Failed { error }) => {
            let why = format!("`{}` cannot be started: {error}", order.command);
            Err(Error::upstream("fleet.launch", why))
        }
        _ => Err(no_launcher(io::ErrorKind::UnexpectedEof.into())),
    }
}

impl Guard {
    /// Waits until the server's process ends. `None` where the launcher itself is gone.
    ///
    /// # Cancellation
    /// Safe.
    pub(crate) async fn exited(&mut self) -> Option<Exit> {
        while self.exit.is_none() {
            match next(&mut self.reports).await {
                Some(Report::Exited(exit)) => self.exit = Some(exit),
                Some(_) => {}
                None => return None,
            }
        }
        self.exit
    }

    /// Ends the server and everything it started; returns when nothing is left.
    ///
    /// # Cancellation
    /// Safe: the launcher goes on without being waited for.
    pub(crate) async fn stop(mut self) -> Option<Exit> {
        let _ = self.control.shutdown().await;
        let gone = async {
            loop {
                match next(&mut self.reports).await {
                    Some(Report::Exited(exit)) => self.exit = Some(exit),
                    Some(Report::Gone) => return true,
                    Some(_) => {}
                    None => return false,
                }
            }
        };
        if !tokio::time::timeout(STOP, gone).await.unwrap_or(false) {
            // The launcher was killed or hangs: what it would have done is done here.
            let _ = self.launcher.start_kill();
            let _ = process::kill_process_group(self.pid, Signal::KILL);
            sweep(self.marker.clone()).await;
        }
        let _ = self.launcher.wait().await;
        self.exit
    }
}

/// Kills every process that carries `marker` in its environment.
async fn sweep(marker: String) {
    let entry = format!("{MARKER}={marker}");
    let kill = move || {
        // Until none is found, as one may fork while it is looked for; bounded, as one may not die.
        for _ in 0..20 {
            let found = descendants::with_environment(&entry);
            if found.is_empty() {
                return;
            }
            for pid in found {
                let _ = process::kill_process(pid, Signal::KILL);
            }
        }
    };
    // `/proc` is read with blocking calls.
    let _ = tokio::task::spawn_blocking(kill).await;
}

fn command(launcher: &Launcher) -> Result<Command> {
    let mut command = match launcher {
        Launcher::Program(path) => Command::new(path),
        Launcher::Command { program, args } => {
            let mut command = Command::new(program);
            command.args(args);
            command
        }
        Launcher::ThisProgram => {
            if !CAN_REEXEC.load(Ordering::Acquire) {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "fleet.launch",
                    "stdio servers need a launcher: call fleet::launcher::run_if_launched() first in main, or \
                     name the program mcp-launcher in the fleet's configuration",
                ));
            }
            // Also right after the program's file was replaced, which its path would not be.
            let mut command = Command::new("/proc/self/exe");
            command.arg0("mcp-launcher").arg(SENTINEL);
            command
        }
    };
    // A group of its own, so that a terminal's Ctrl-C reaches the platform alone, which then stops in order.
    command.env_clear().process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Makes the server's three pipes and hands its ends to the launcher.
fn send_pipes(control: &StdStream) -> io::Result<(Sender, Receiver, Receiver)> {
    let (child_in, stdin): (PipeReader, PipeWriter) = io::pipe()?;
    let (stdout, child_out) = io::pipe()?;
    let (stderr, child_err) = io::pipe()?;
    let descriptors = [child_in.as_fd(), child_out.as_fd(), child_err.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(control, &[IoSlice::new(b"o")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok((
        Sender::from_owned_fd(stdin.into())?,
        Receiver::from_owned_fd(stdout.into())?,
        Receiver::from_owned_fd(stderr.into())?,
    ))
}

async fn send_order(control: &mut OwnedWriteHalf, order: &Order) -> io::Result<()> {
    let json = serde_json::to_vec(order)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    control.write_all(&length.to_le_bytes()).await?;
    control.write_all(&json).await
}

async fn next(reports: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Report> {
    let line = reports.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

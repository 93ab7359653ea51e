//! Processes under measurement: started, found, weighed, killed.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use crate::{Failure, measure};

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Measured {
    child: Child,
    /// Kept open, so that the process can go on writing.
    _out: Option<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

/// Says where a part of a bench listens, to the bench that started it.
///
/// # Errors
/// When nobody reads.
pub(crate) fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

impl Measured {
    /// Starts a part of this program and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn part(arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut out = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        out.read_line(&mut line).await?;
        let address = line.trim().parse().map_err(|_| format!("{arguments:?} ended before it listened"))?;
        Ok(Self { child, _out: Some(out), address })
    }

    /// Takes over a process that listens at `address`.
    pub(crate) const fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, _out: None, address }
    }

    /// CPU seconds the process has used, its children not counted.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        measure::cpu_seconds(&self.pid()?.to_string())
    }

    /// Resident memory in MiB.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn resident_mib(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    fn pid(&self) -> Result<u32, Failure> {
        self.child.id().ok_or_else(|| "the measured process has ended".into())
    }
}

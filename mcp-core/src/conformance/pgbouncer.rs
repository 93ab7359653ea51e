//! PgBouncer in transaction mode, in front of one test's database.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::error::{Error, Result};

/// Where Debian keeps it, which is not in everybody's `PATH`.
const DEBIAN: &str = "/usr/sbin/pgbouncer";
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a port that was free a moment ago may turn out taken.
const TRIES: usize = 5;

/// A pooler; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct PgBouncer {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl PgBouncer {
    /// Starts one before the server of `server`, with this many connections to it for each role and database;
    /// `users` are roles whose password is `test`.
    pub(super) fn start(server: &PgConnectOptions, connections: u32, users: &[String]) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_start(server, connections, users) {
                Err(_) if tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    fn try_start(server: &PgConnectOptions, connections: u32, users: &[String]) -> Result<Self> {
        let program = program().ok_or_else(|| {
            let message = "PgBouncer is missing: `cargo xtask test` installs it; \
                           or install it yourself (Debian: `apt-get install pgbouncer`)";
            Error::invalid_input("conformance.pgbouncer", message)
        })?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr());
        let port = port.map_err(|error| failed("no free port", &error))?.port();
        let directory = tempfile::Builder::new().prefix("mcp-pgbouncer-").tempdir();
        let directory = directory.map_err(|error| failed("cannot make a directory", &error))?;
        let file = |name: &str| directory.path().join(name);
        let entries: String = users.iter().map(|user| format!("\"{user}\" \"test\"\n")).collect();
        let (users, log) = (file("users.txt"), file("pgbouncer.log"));
        let settings = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\nlogfile = {}\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 400\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.get_host(),
            server.get_port(),
            users.display(),
            log.display(),
        );
        let written =
            std::fs::write(&users, entries).and_then(|()| std::fs::write(file("settings.ini"), settings));
        written.map_err(|error| failed("cannot write its settings", &error))?;
        let mut command = command(&program, directory.path())?;
        command.arg(file("settings.ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|error| failed("does not start", &error))?;
        let mut started = Self { process, port, _directory: directory };
        started.wait(&log)?;
        Ok(started)
    }

    /// The port on the loopback interface.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it listens.
    fn wait(&mut self, log: &Path) -> Result<()> {
        let began = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
            let ended = self.process.try_wait().is_ok_and(|status| status.is_some());
            if ended || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                return Err(failed("does not listen", &said));
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// It refuses to be root, and is then nobody, which owns its directory.
fn command(program: &Path, directory: &Path) -> Result<Command> {
    const NOBODY: u32 = 65_534;
    let root = std::fs::metadata(directory).is_ok_and(|made| std::os::unix::fs::MetadataExt::uid(&made) == 0);
    if !root {
        return Ok(Command::new(program));
    }
    for path in std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let given = std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY));
        given.map_err(|error| failed("cannot give its files away", &error))?;
    }
    let given = std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY));
    given.map_err(|error| failed("cannot give its directory away", &error))?;
    let mut command = Command::new("setpriv");
    // It dies with us, should we be killed.
    let nobody = NOBODY.to_string();
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--pdeathsig", "TERM", "--"]);
    command.arg(program);
    Ok(command)
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut named = std::env::split_paths(&path).map(|directory| directory.join("pgbouncer"));
    named
        .find(|program| program.is_file())
        .or_else(|| Some(PathBuf::from(DEBIAN)).filter(|path| path.is_file()))
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::unavailable("conformance.pgbouncer", format!("PgBouncer {what}: {why}"))
}

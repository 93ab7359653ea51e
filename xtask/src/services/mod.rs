//! The servers that tests talk to: those the environment names, else private ones of our own.
//!
//! A further service is one file beside `postgres.rs` that exports a [`Kind`], and one entry in [`KINDS`].

mod guard;
mod pgbouncer;
mod postgres;
mod redis;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::sh::{self, Result};
use crate::{model, tools};

pub(crate) use guard::{Server, guard};

/// Every kind of server that tests may use.
const KINDS: &[Kind] = &[postgres::KIND, redis::KIND];

/// A kind of server: the variable that names one, and how to start one where it is not set.
struct Kind {
    /// What tests read, such as `DATABASE_URL`.
    variable: &'static str,
    /// Starts a private server.
    start: fn() -> Result<Private>,
}

/// A private server, with the value tests find in its kind's variable.
struct Private {
    url: String,
    server: Server,
}

/// The services of one run; private ones stop when this is dropped.
pub(crate) struct Services {
    private: Vec<(&'static str, Private)>,
}

impl Services {
    /// Makes every kind reachable: as the environment says, else by a private server.
    ///
    /// # Errors
    /// When a server is missing and cannot be installed, or does not start. Never goes on without one.
    pub(crate) fn start() -> Result<Self> {
        pgbouncer::prepare()?;
        let mut private = Vec::new();
        for kind in KINDS {
            if std::env::var_os(kind.variable).is_some() {
                println!("{}: as the environment says", kind.variable);
                continue;
            }
            let started = (kind.start)()?;
            println!("{}: {}", kind.variable, started.url);
            private.push((kind.variable, started));
        }
        Ok(Self { private })
    }

    /// The variables to set for whoever uses the private servers.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.private.iter().map(|(variable, private)| (*variable, private.url.as_str()))
    }
}

/// `cargo xtask services`: starts them and stays until Ctrl-C, which the guards see as our death.
///
/// # Errors
/// When a server does not start, or ends by itself.
pub(crate) fn run() -> Result {
    let tools = tools::prepare()?;
    let models = model::prepare()?;
    let mut services = Services::start()?;
    println!("\n# in another shell:");
    for (variable, url) in services.environment() {
        println!("export {variable}={url}");
    }
    println!("export {}={}", tools::VARIABLE, tools.display());
    println!("export {}={}", model::VARIABLE, models.display());
    println!("# Ctrl-C stops and removes them");
    for (_, private) in &mut services.private {
        private.server.wait()?;
    }
    Ok(())
}

/// A port of the loopback interface that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether a line that a server wrote says that its port was taken meanwhile.
fn port_was_taken(said: &str) -> bool {
    said.contains("Address already in use") || said.contains("could not bind")
}

/// 128 random bits, in hexadecimal digits.
fn password() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The command with what makes it die with its parent should that be killed, where there is such a thing.
fn with_our_life(command: Vec<String>) -> Vec<String> {
    if sh::find("setpriv", &[]).is_none() {
        return command;
    }
    ["setpriv", "--pdeathsig=QUIT", "--"].map(str::to_owned).into_iter().chain(command).collect()
}

/// A directory as an argument.
fn argument(path: &Path) -> String {
    path.display().to_string()
}

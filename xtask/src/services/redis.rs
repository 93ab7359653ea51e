//! A private Redis: found, or installed where we may.

use std::path::{Path, PathBuf};

use super::{Kind, Private, Server, argument, free_port, password, port_was_taken, with_our_life};
use crate::debian;
use crate::sh::{self, Context, Failure, Result};

/// The kind as [`super::KINDS`] lists it.
pub(super) const KIND: Kind = Kind { variable: "REDIS_URL", start };

/// How often a port that was free a moment ago may turn out taken.
const PORT_TRIES: usize = 5;

fn start() -> Result<Private> {
    let program = match sh::find("redis-server", &[]) {
        Some(found) => found,
        None => install()?,
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match start_on_free_port(&program) {
            Err(failure) if port_was_taken(&failure.to_string()) && tries < PORT_TRIES => {}
            outcome => return outcome,
        }
    }
}

fn start_on_free_port(program: &Path) -> Result<Private> {
    let port = free_port().context("finding a free port")?;
    let dir =
        tempfile::Builder::new().prefix("mcp-redis-").tempdir().context("making a directory for Redis")?;
    // Whoever is on this machine reaches the loopback interface, and a user of Redis writes files.
    let password = password().context("making a password for Redis")?;
    let file = dir.path().join("redis.conf");
    std::fs::write(&file, settings(port, dir.path(), &password))
        .context(format!("writing {}", file.display()))?;
    // The guard removes the directory.
    let dir = dir.keep();
    let server = Server::start(&dir, "Ready to accept connections", &command(program, &file))?;
    Ok(Private { url: format!("redis://:{password}@127.0.0.1:{port}"), server })
}

/// Redis writes its log to standard output, where guards do not look for it.
fn command(program: &Path, settings: &Path) -> Vec<String> {
    let shell = ["sh", "-c", "exec \"$0\" \"$1\" >&2"].map(str::to_owned);
    with_our_life(shell.into_iter().chain([argument(program), argument(settings)]).collect())
}

/// What differs from Redis's own defaults. In a file, as the command line is for everyone to see.
fn settings(port: u16, dir: &Path, password: &str) -> String {
    let dir = dir.display();
    format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {dir}\n\
         save \"\"\nappendonly no\ndaemonize no\n"
    )
}

/// Installs the Debian package where we are root and there is one.
fn install() -> Result<PathBuf> {
    if !debian::may_install() {
        return Err(Failure::new(
            "Redis is missing (`redis-server` is not in PATH). \
             Install it (Debian: `apt-get install redis-server`), or set REDIS_URL to a server for tests.",
        ));
    }
    debian::install("redis-server")?;
    sh::find("redis-server", &[])
        .ok_or_else(|| Failure::new("the package redis-server is installed, yet there is no `redis-server`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_interface_is_listened_on_and_only_with_the_password() {
        let settings = settings(6379, Path::new("/tmp/x"), "secret");
        for line in ["bind 127.0.0.1", "port 6379", "requirepass secret", "dir /tmp/x"] {
            assert!(settings.lines().any(|found| found == line), "{settings}");
        }
        assert!(
            !command(Path::new("/bin/redis"), Path::new("/tmp/x/redis.conf")).concat().contains("secret")
        );
    }

    #[test]
    fn the_log_goes_where_the_guard_reads_it() {
        let command = command(Path::new("/bin/redis"), Path::new("/tmp/x/redis.conf")).join(" ");
        assert!(command.ends_with("sh -c exec \"$0\" \"$1\" >&2 /bin/redis /tmp/x/redis.conf"), "{command}");
    }
}

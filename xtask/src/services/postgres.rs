//! A private PostgreSQL: found, or installed where we may, and run by a user other than root.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Kind, Private, Server, argument, free_port, password, port_was_taken, with_our_life};
use crate::debian;
use crate::sh::{self, Context, Failure, Result};

/// The kind as [`super::KINDS`] lists it.
pub(super) const KIND: Kind = Kind { variable: "DATABASE_URL", start };

/// Where Debian keeps the server's programs, a directory a version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Present while the package is installed, so that it does not create and start a cluster of the system's.
const NO_SYSTEM_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/mcp-platform.conf";
/// How often a port that was free a moment ago may turn out taken.
const PORT_TRIES: usize = 5;

fn start() -> Result<Private> {
    let programs = match programs() {
        Some(found) => found,
        None => install()?,
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match start_on_free_port(&programs) {
            Err(failure) if port_was_taken(&failure.to_string()) && tries < PORT_TRIES => {}
            outcome => return outcome,
        }
    }
}

fn start_on_free_port(programs: &Path) -> Result<Private> {
    let port = free_port().context("finding a free port")?;
    let dir =
        tempfile::Builder::new().prefix("mcp-pg-").tempdir().context("making a directory for PostgreSQL")?;
    // Whoever is on this machine reaches the loopback interface, and a superuser of PostgreSQL runs programs.
    let password = password().context("making a password for PostgreSQL")?;
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, &password).context(format!("writing {}", password_file.display()))?;
    let user = User::for_server()?;
    user.give(dir.path())?;
    let data = argument(&dir.path().join("data"));

    let mut initdb = vec![argument(&programs.join("initdb"))];
    initdb.extend(words("--username=postgres --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync"));
    initdb.extend(["--pwfile".to_owned(), argument(&password_file), "--pgdata".to_owned()]);
    initdb.push(data.clone());
    let initdb = user.command(&initdb);
    let (program, arguments) = initdb.split_first().ok_or_else(|| Failure::new("no command for initdb"))?;
    sh::output(Command::new(program).args(arguments).current_dir(dir.path()))?;

    let mut postgres = vec![argument(&programs.join("postgres")), "-D".to_owned(), data];
    postgres.extend(settings(port, dir.path()));
    // The guard removes the directory.
    let dir = dir.keep();
    let server =
        Server::start(&dir, "database system is ready to accept connections", &user.command(&postgres))?;
    Ok(Private { url: format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"), server })
}

/// What differs from PostgreSQL's own defaults.
fn settings(port: u16, dir: &Path) -> Vec<String> {
    let settings = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", argument(dir)),
        // Tests run in parallel, each with pools of its own.
        ("max_connections", "400".to_owned()),
        // What survives a power cut is PostgreSQL's promise, not ours to test. A commit still reaches the
        // kernel before it is acknowledged, so tests may kill the server and count what is left.
        ("fsync", "off".to_owned()),
        ("lc_messages", "C".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("timezone", "UTC".to_owned()),
    ];
    settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect()
}

/// The directory with `initdb` and `postgres`: that of `PATH`, else Debian's newest.
fn programs() -> Option<PathBuf> {
    let initdb = sh::find("initdb", &debian_versions(Path::new(DEBIAN)))?;
    // A link in PATH leads to the directory that has the other programs too.
    let initdb = initdb.canonicalize().ok()?;
    let directory = initdb.parent()?;
    directory.join("postgres").is_file().then(|| directory.to_owned())
}

/// The `bin` directories of the installed versions, newest first.
fn debian_versions(base: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut versions: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| base.join(version.to_string()).join("bin")).collect()
}

/// Installs the Debian package where we are root and there is one.
fn install() -> Result<PathBuf> {
    if !debian::may_install() {
        return Err(Failure::new(
            "PostgreSQL's server programs are missing (`initdb` is neither in PATH nor under /usr/lib/postgresql). \
             Install them (Debian: `apt-get install postgresql`), \
             or set DATABASE_URL to a superuser of a server for tests.",
        ));
    }
    let conf = Path::new(NO_SYSTEM_CLUSTER);
    if let Some(parent) = conf.parent() {
        std::fs::create_dir_all(parent).context(format!("making {}", parent.display()))?;
    }
    std::fs::write(conf, "create_main_cluster = false\n").context(format!("writing {NO_SYSTEM_CLUSTER}"))?;
    let installed = debian::install("postgresql");
    std::fs::remove_file(conf).context(format!("removing {NO_SYSTEM_CLUSTER}"))?;
    installed?;
    programs().ok_or_else(|| Failure::new("the package postgresql is installed, yet there is no `initdb`"))
}

/// Who runs the server: PostgreSQL refuses to be root.
enum User {
    /// We are not root: ourselves.
    Ourselves,
    /// We are root: this user, with its group.
    Other { name: &'static str, group: String },
}

impl User {
    fn for_server() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(group) = sh::output(Command::new("id").args(["-g", name])) {
                return Ok(Self::Other { name, group });
            }
        }
        Err(Failure::new(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`",
        ))
    }

    /// Makes the user the owner of a directory.
    fn give(&self, dir: &Path) -> Result {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { name, .. } => sh::output(Command::new("chown").arg(name).arg(dir)).map(drop),
        }
    }

    /// The command with what makes it run as this user, and die with its parent should that be killed.
    fn command(&self, command: &[String]) -> Vec<String> {
        match self {
            Self::Ourselves => with_our_life(command.to_vec()),
            Self::Other { name, group } => {
                let setpriv =
                    format!("setpriv --reuid={name} --regid={group} --clear-groups --pdeathsig=QUIT --");
                let mut all = words(&setpriv);
                all.extend_from_slice(command);
                all
            }
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let base = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "common"] {
            std::fs::create_dir(base.path().join(version)).unwrap();
        }
        let found: Vec<_> = debian_versions(base.path());
        let expected: Vec<_> = ["17/bin", "15/bin", "9/bin"].map(|version| base.path().join(version)).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn root_hands_the_server_to_another_user() {
        let user = User::Other { name: "postgres", group: "104".to_owned() };
        let command = user.command(&["postgres".to_owned()]).join(" ");
        assert!(command.starts_with("setpriv --reuid=postgres --regid=104 "), "{command}");
        assert!(command.ends_with("-- postgres"), "{command}");
    }

    #[test]
    fn only_the_loopback_interface_is_listened_on() {
        let settings = settings(5432, Path::new("/tmp/x")).join(" ");
        assert!(settings.contains("listen_addresses=127.0.0.1 "), "{settings}");
    }
}

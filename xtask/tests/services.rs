//! Private servers really serve, and are gone however we end.

#![cfg(test)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(120);

/// Starts `xtask services` in a directory for temporary files of its own, and returns the port of PostgreSQL.
fn services(temporary: &Path) -> (Child, u16) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("services")
        .env_remove("DATABASE_URL")
        .env("TMPDIR", temporary)
        .env("MCP_TEST_TOOLS", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = said.find_map(|line| line.strip_prefix("export DATABASE_URL=").map(str::to_owned)).unwrap();
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
    (child, port)
}

/// Waits until everyone who has our standard error is gone: us, and the guard that stops the server.
fn everyone_is_gone(child: &mut Child) {
    let mut stderr = child.stderr.take().unwrap();
    let (gone, wait) = channel();
    std::thread::spawn(move || gone.send(stderr.read_to_end(&mut Vec::new())));
    wait.recv_timeout(LIMIT).unwrap().unwrap();
}

#[test]
fn nothing_is_left_after_a_kill() {
    let temporary = tempfile::tempdir().unwrap();
    // The server's user must be able to pass through.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(temporary.path(), open).unwrap();
    let (mut child, port) = services(temporary.path());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "it said that it serves");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);

    child.kill().unwrap();
    child.wait().unwrap();
    everyone_is_gone(&mut child);

    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the server outlived us");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "its directory outlived us");
}

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

/// Starts `xtask services` in a directory for temporary files of its own, and returns the ports of its servers.
fn services(temporary: &Path) -> (Child, [u16; 2]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("services")
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .env("TMPDIR", temporary)
        .env("MCP_TEST_TOOLS", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ports = ["DATABASE_URL", "REDIS_URL"].map(|variable| {
        let start = format!("export {variable}=");
        let url = said.find_map(|line| line.strip_prefix(&start).map(str::to_owned)).unwrap();
        url.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap()
    });
    (child, ports)
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
    let (mut child, ports) = services(temporary.path());
    for port in ports {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "it said that it serves");
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 2);

    child.kill().unwrap();
    child.wait().unwrap();
    everyone_is_gone(&mut child);

    for port in ports {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "a server outlived us");
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "a directory outlived us");
}

/// A guard of a shell script, with the directory it owns.
fn guard(script: &str) -> (Child, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap().keep();
    let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["guard", "--ready", "it is up", "--dir"])
        .arg(&dir)
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child, dir)
}

#[test]
fn a_guard_says_when_its_server_serves_and_stops_it_on_order() {
    let (mut child, dir) = guard("echo starting >&2; echo now it is up >&2; exec sleep 1000");
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().as_deref(), Some("ready"));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(!dir.exists());
}

#[test]
fn a_server_that_ends_by_itself_is_a_failure_that_shows_its_last_lines() {
    let (mut child, dir) = guard("echo no such thing >&2; exit 0");
    // `wait_with_output` closes the input, which is the order to stop: keep it open.
    let order = child.stdin.take();
    let done = child.wait_with_output().unwrap();
    drop(order);
    assert!(!done.status.success());
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "no such thing\n");
    assert!(!dir.exists());
}

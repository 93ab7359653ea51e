//! Whatever is killed, nothing is left running.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use mcp_automation::{
    fleet::{ServerSpec, ServerState},
    upstream::Upstreams,
};
use mcp_core::ErrorKind;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::*;

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// The server below a shell that stays its parent, as `npx` does.
fn wrapped(server: &str, mode: &str, mark: &str) -> ServerSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");
    let line = format!("python3 {script} {mode}; true");
    with_env(ServerSpec::stdio(name(server), "sh", ["-c".to_owned(), line]), "MARK", mark)
}

fn pid_of(fleet: &mcp_automation::fleet::Fleet) -> i32 {
    match fleet.status(&operator())[0].state {
        ServerState::Ready { pid: Some(pid), .. } => pid,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn killing_the_parent_of_the_server_ends_its_whole_family() {
    let (mark, scope) = (unique(), scope("acme"));
    let fleet = fleet(vec![wrapped("py", "legacy", &mark)], config());
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    call(&*upstream, &scope, "family", json!({})).await.unwrap();
    let before: Vec<_> = marked(&mark).into_iter().map(|(pid, _)| pid).collect();
    assert!(before.len() >= 6, "{before:?}");
    kill(pid_of(&fleet));
    // The server below outlives its parent for moments, in which it still answers.
    call(&*upstream, &scope, "hang", json!({})).await.unwrap_err();
    let back = call_until_back(&fleet, "acme", "py", "pid").await;
    let now: Vec<_> = marked(&mark).into_iter().map(|(pid, _)| pid).collect();
    assert!(now.iter().all(|pid| !before.contains(pid)), "{before:?} {now:?} {back}");
    fleet.shutdown(Duration::ZERO).await;
    none_left(&mark, Duration::ZERO).await;
}

#[tokio::test]
async fn killing_the_launcher_leaves_nothing_either() {
    let (mark, scope) = (unique(), scope("acme"));
    let fleet = fleet(vec![with_env(python("py", "legacy"), "MARK", &mark)], config());
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    call(&*upstream, &scope, "family", json!({})).await.unwrap();
    let before = marked(&mark);
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid_of(&fleet))).unwrap();
    let launcher = status.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
    kill(launcher);
    let error = call(&*upstream, &scope, "hang", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    call_until_back(&fleet, "acme", "py", "pid").await;
    let now = marked(&mark);
    assert!(before.iter().all(|(pid, _)| now.iter().all(|(other, _)| other != pid)), "{before:?} {now:?}");
    fleet.shutdown(Duration::ZERO).await;
    none_left(&mark, Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_that_ignores_sigterm_and_its_orphans_are_gone_after_shutdown() {
    let (mark, scope) = (unique(), scope("acme"));
    let fleet = fleet(vec![wrapped("py", "stubborn", &mark)], config());
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    call(&*upstream, &scope, "family", json!({})).await.unwrap();
    fleet.shutdown(Duration::ZERO).await;
    none_left(&mark, Duration::ZERO).await;
    let error = fleet.connect(&scope, &name("py")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

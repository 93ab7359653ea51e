//! The demo ends well, and says so.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    self,
    bounded::{self, LIMIT, LONG, Lines},
    models, processes,
};

/// Everything that is shown on every machine with npm, in its order.
const STEPS: [&str; 19] = [
    "find MCP servers",
    "start the platform",
    "make two tenants",
    "connect a client of each",
    "list the tools of all servers",
    "call a tool as each tenant",
    "call the server from npm",
    "keep their servers' memories apart",
    "chat past a dead provider",
    "try another tenant's id",
    "store a conversation",
    "remember facts, and recall one",
    "embed sentences in process",
    "add a server from npm while running",
    "switch its release under load, and back",
    "use up a rate limit",
    "suspend a tenant",
    "verify the audit chains",
    "read the change feed",
];
const LAST: &str = "stop, and look for processes left behind";

/// The demo with this folder as the user's cache.
fn demo(cache: &Path) -> Command {
    let mut command = support::binary();
    command.arg("demo").env("XDG_CACHE_HOME", cache);
    command
}

fn rows(cache: &Path) -> Vec<Value> {
    let done = bounded::output(demo(cache).arg("--json"), LONG);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn row<'a>(rows: &'a [Value], step: &str) -> &'a Value {
    rows.iter().find(|row| row["step"] == step).unwrap_or_else(|| panic!("{step} is missing in {rows:#?}"))
}

#[test]
fn every_step_of_the_demo_succeeds() {
    let cache = tempfile::tempdir().unwrap();
    std::fs::create_dir(cache.path().join("mcp-platform")).unwrap();
    std::os::unix::fs::symlink(models(), cache.path().join("mcp-platform/models")).unwrap();
    let rows = rows(cache.path());
    let done: Vec<_> =
        rows.iter().filter(|row| row["ok"] == true).map(|row| row["step"].as_str().unwrap()).collect();
    assert_eq!(done, STEPS.into_iter().chain([LAST]).collect::<Vec<_>>(), "{rows:#?}");
    let switched = row(&rows, "switch its release under load, and back");
    assert!(switched["found"].as_str().unwrap().ends_with(" 0 failed"), "{switched}");
    let recalled = row(&rows, "remember facts, and recall one");
    assert!(recalled["found"].as_str().unwrap().starts_with("by words and meaning"), "{recalled}");
}

#[test]
fn without_a_model_the_demo_says_the_one_command_that_fetches_it() {
    let cache = tempfile::tempdir().unwrap();
    let rows = rows(cache.path());
    let skipped = row(&rows, "embed sentences in process");
    assert_eq!(skipped["ok"], Value::Null);
    assert!(skipped["skipped"].as_str().unwrap().contains("`cargo xtask model minilm`"), "{skipped}");
}

#[test]
fn a_demo_that_stays_invites_to_go_on_by_hand_and_ends_when_told() {
    let cache = tempfile::tempdir().unwrap();
    let mut demo = demo(cache.path()).arg("--stay").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Lines::of("the demo", demo.stdout.take().unwrap(), LONG);
    let mut printed = String::new();
    let invitation =
        lines.by_ref().inspect(|line| printed.push_str(line)).find(|line| line.contains("TOKEN="));
    let token = invitation.unwrap_or_else(|| panic!("no invitation in {printed}"));
    // What follows is what a person would paste: the token, then the command, which ends before the blank line.
    let command: Vec<String> = lines
        .by_ref()
        .skip_while(|line| !line.contains("curl"))
        .take_while(|line| !line.is_empty())
        .collect();
    let script = format!("{}\n{}", token.trim(), command.join("\n"));
    let answer = bounded::output(Command::new("bash").args(["-c", &script]), LIMIT);
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.contains("fixture__echo"), "{script}\n{answer}");
    processes::terminate(demo.id());
    let rest: Vec<String> = lines.collect();
    assert!(bounded::status("the demo, told to stop", demo).success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.starts_with("ok") && line.contains(LAST)), "{rest:?}");
}

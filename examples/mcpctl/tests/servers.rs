//! Servers from a public registry, added, switched and removed on the command line.
//!
//! The test is a program of its own, without the test harness, because it is the platform as well, which starts
//! itself as the launcher of servers.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code outside of the harness")]

#[path = "mcpctl/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use serde_json::Value;

use support::{bare, json, run, running, said, tenant, text};

const PACKAGE: &str = "pypi:mcp-server-time";
const SECRET: &str = "s3cret-of-the-server";

fn main() {
    // First of all: started as a launcher, this program is nothing else.
    mcp_automation::fleet::launcher::run_if_launched();
    println!("\nrunning 2 tests");
    what_cannot_be_added_is_refused();
    println!("test what_cannot_be_added_is_refused ... ok");
    a_server_is_added_switched_there_and_back_and_removed();
    println!("test a_server_is_added_switched_there_and_back_and_removed ... ok");
    println!("\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n");
}

fn what_cannot_be_added_is_refused() {
    let operator = &running().operator;
    let tenants_key = tenant("adds");
    for (key, arguments, code, words) in [
        (operator, &["servers", "add", "left-pad"][..], 2, "npm:@scope/name@version"),
        (operator, &["servers", "add", "pypi:x>=1"], 2, "x>=1"),
        (operator, &["servers", "add", "npm:x@1.0.0", "--name", "a b"], 2, "server name"),
        (operator, &["servers", "add", "npm:x@1.0.0", "--env", "NOT_SET_HERE"], 2, "NOT_SET_HERE"),
        (operator, &["servers", "use", "nowhere", "1.0.0"], 4, "nowhere"),
        (operator, &["servers", "remove", "nowhere"], 4, "nowhere"),
        (&tenants_key, &["servers", "add", PACKAGE], 2, "operator"),
        (&tenants_key, &["servers", "releases"], 2, "operator"),
    ] {
        let done = run(key, arguments);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {}", said(&done));
        assert!(said(&done).contains(words), "{arguments:?}: {}", said(&done));
        assert!(done.stdout.is_empty(), "{arguments:?}");
    }
}

fn a_server_is_added_switched_there_and_back_and_removed() {
    let operator = &running().operator;
    // Neither resolves nor installs: what was asked for is not there, and what is near is named.
    let unknown = run(operator, &["servers", "add", &format!("{PACKAGE}==2026.10.9")]);
    assert_eq!(unknown.status.code(), Some(4), "{}", said(&unknown));
    assert!(said(&unknown).contains("`2026.10.10`"), "{}", said(&unknown));
    assert_eq!(json(operator, &["servers", "releases"]), Value::Array(Vec::new()));

    let package = format!("{PACKAGE}==2026.10.10");
    let add = ["servers", "add", &package, "--name", "time", "--stateless", "--env", "TIME_SECRET", "--json"];
    let mut command = bare();
    command.env("MCPCTL_URL", &running().http).env("MCPCTL_KEY", operator).env("TIME_SECRET", SECRET);
    let added = command.args(add).output().unwrap();
    assert!(added.status.success(), "{}", said(&added));
    let ended: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!((&ended["state"], &ended["version"]), (&"done".into(), &"2026.10.10".into()), "{ended}");
    let progress = said(&added);
    assert!(progress.lines().any(|line| line == "installing"), "{progress}");
    assert_eq!(run(operator, &["servers", "add", &package, "--name", "time"]).status.code(), Some(5));

    let unknown = run(operator, &["servers", "use", "time", "2026.10.18.1"]);
    assert_eq!(unknown.status.code(), Some(4), "{}", said(&unknown));
    assert!(said(&unknown).contains("`2026.10.19`"), "{}", said(&unknown));
    assert!(unknown.stdout.is_empty());
    for (version, before) in [("2026.10.19", "2026.10.10"), ("2026.10.10", "2026.10.19")] {
        let table = text(operator, &["servers", "use", "time", version]);
        assert!(table.starts_with("SERVER") && table.contains("done") && table.contains(version), "{table}");
        let releases = text(operator, &["servers", "releases"]);
        let (active, previous) = (format!("{version} (active)"), format!("{before} (previous)"));
        assert!(releases.contains(&active) && releases.contains(&previous), "{releases}");
        assert!(!releases.contains(SECRET));
    }
    assert_eq!(json(operator, &["servers", "releases"])[0]["releases"].as_array().unwrap().len(), 2);
    assert!(run(operator, &["servers", "remove", "time"]).status.success());
    assert_eq!(run(operator, &["servers", "remove", "time"]).status.code(), Some(4));
    assert_eq!(json(operator, &["servers", "releases"]), Value::Array(Vec::new()));
}

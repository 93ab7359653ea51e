//! The demo ends well, and says so.

use std::collections::HashSet;

#[test]
fn every_step_of_the_demo_succeeds() {
    let done = crate::support::binary().args(["demo", "--json"]).output().unwrap();
    let rows: Vec<serde_json::Value> = String::from_utf8(done.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed: Vec<_> = rows.iter().filter(|row| row["ok"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let steps: HashSet<_> = rows.iter().map(|row| row["step"].as_str().unwrap()).collect();
    for wanted in [
        "call the server from npm",
        "chat past a dead provider",
        "try another tenant's id",
        "use up a rate limit",
        "verify the audit chains",
    ] {
        assert!(steps.contains(wanted), "{wanted} is missing in {steps:?}");
    }
}

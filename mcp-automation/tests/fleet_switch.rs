//! Another release of a server, while calls go on.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mcp_automation::{
    fleet::{Fleet, FleetConfig, ServerSpec, ServerState, TransportSpec},
    upstream::Upstreams as _,
};
use mcp_core::ErrorKind;
use serde_json::json;
use support::*;

/// Release `release` of the server `py`.
fn release(release: &str, stateless: bool) -> ServerSpec {
    let mut spec = with_env(python("py", "legacy"), "RELEASE", release);
    spec.stateless = stateless;
    spec
}

async fn switch(fleet: &Fleet, spec: ServerSpec) {
    let candidate = fleet.try_out(&operator(), spec).await.unwrap();
    fleet.adopt(&operator(), candidate).unwrap();
}

/// Which release answers `tenant`, asked as a gateway asks.
async fn answers(fleet: &Fleet, tenant: &str) -> mcp_core::Result<String> {
    let scope = scope(tenant);
    let upstream = fleet.connect(&scope, &name("py")).await?;
    let reply = call(&*upstream, &scope, "pid", json!({})).await?;
    Ok(reply["env"]["RELEASE"].as_str().unwrap().to_owned())
}

async fn no_call_fails(stateless: bool) {
    let mark = unique();
    let fleet = Arc::new(fleet(vec![], config()));
    let of = |n: usize| with_env(release(&n.to_string(), stateless), "MARK", &mark);
    switch(&fleet, of(0)).await;
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (fleet, done) = (Arc::clone(&fleet), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut calls, mut latest) = (0, 0);
                while !done.load(Ordering::Acquire) {
                    let by: usize = answers(&fleet, &format!("t{caller}")).await.unwrap().parse().unwrap();
                    assert!(by >= latest, "a call after one to release {latest} went to {by}");
                    (latest, calls) = (by, calls + 1);
                }
                calls
            })
        })
        .collect();
    for n in 1..=20 {
        switch(&fleet, of(n)).await;
        assert_eq!(answers(&fleet, "t0").await.unwrap(), n.to_string(), "a call after the switch");
    }
    done.store(true, Ordering::Release);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.unwrap();
    }
    assert!(calls > 100, "only {calls} calls");
    fleet.shutdown(Duration::from_secs(5)).await;
    none_left(&mark, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_a_shared_server_is_switched_twenty_times() {
    no_call_fails(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_a_server_of_each_tenant_is_switched_twenty_times() {
    no_call_fails(false).await;
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_release_it_began_on() {
    let mark = unique();
    let fleet = fleet(vec![], config());
    switch(&fleet, with_env(release("old", true), "MARK", &mark)).await;
    let acme = scope("acme");
    let old = fleet.connect(&acme, &name("py")).await.unwrap();
    let mut notices = old.notices();
    let slow = call(&*old, &acme, "late", json!({ "seconds": 1 }));
    let meanwhile = async {
        switch(&fleet, release("new", true)).await;
        assert_eq!(answers(&fleet, "acme").await.unwrap(), "new");
        let states: Vec<_> = fleet.status(&operator()).into_iter().map(|line| line.state).collect();
        assert!(states.contains(&ServerState::Stopping), "{states:?}");
        assert_eq!(marked(&mark).len(), 1, "the old release is needed yet");
    };
    let (reply, ()) = tokio::join!(slow, meanwhile);
    assert_eq!(reply.unwrap()["late"], true);
    drop(old);
    none_left(&mark, Duration::from_secs(5)).await;
    // What listened to the old connection learns that it has ended, and so that every list may have changed.
    let closed = tokio::time::timeout(Duration::from_secs(5), notices.recv()).await.unwrap();
    assert!(closed.is_err());
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_at_the_end_of_the_drain() {
    let mark = unique();
    let fleet = fleet(vec![], FleetConfig { drain: Duration::from_millis(300), ..config() });
    switch(&fleet, with_env(release("old", true), "MARK", &mark)).await;
    let acme = scope("acme");
    let old = fleet.connect(&acme, &name("py")).await.unwrap();
    let (reply, ()) = tokio::join!(call(&*old, &acme, "hang", json!({})), async {
        switch(&fleet, release("new", true)).await;
    });
    assert_eq!(reply.unwrap_err().kind(), ErrorKind::Upstream);
    none_left(&mark, Duration::from_secs(10)).await;
    assert_eq!(answers(&fleet, "acme").await.unwrap(), "new");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_release_that_does_not_start_leaves_the_one_that_serves_alone() {
    let mark = unique();
    let fleet = fleet(vec![], config());
    switch(&fleet, release("good", false)).await;
    assert_eq!(answers(&fleet, "acme").await.unwrap(), "good");
    let broken = "import sys; print('no module named nonsense', file=sys.stderr); sys.exit(7)";
    let spec = ServerSpec::stdio(name("py"), "python3", ["-c".to_owned(), broken.to_owned(), mark.clone()]);
    let error = fleet.try_out(&operator(), spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    for part in ["`py`", "status 7", "no module named nonsense"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(marked(&mark), []);
    assert_eq!(answers(&fleet, "acme").await.unwrap(), "good");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_and_ended() {
    let mark = unique();
    let fleet = fleet(vec![], FleetConfig { check: Duration::from_millis(500), ..config() });
    let silent = ["-c".to_owned(), "import time; time.sleep(600)".to_owned(), mark.clone()];
    let error = fleet.try_out(&operator(), ServerSpec::stdio(name("py"), "python3", silent)).await;
    assert!(error.unwrap_err().message().contains("within 0.5 s"));
    assert_eq!(marked(&mark), []);
    assert_eq!(fleet.names(&scope("acme")), []);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_candidate_that_is_dropped_is_stopped() {
    let mark = unique();
    let fleet = fleet(vec![], config());
    let candidate = fleet.try_out(&operator(), with_env(release("x", true), "MARK", &mark)).await.unwrap();
    assert!(candidate.tools().contains(&"echo".to_owned()), "{:?}", candidate.tools());
    assert_eq!(marked(&mark).len(), 1);
    drop(candidate);
    none_left(&mark, Duration::from_secs(5)).await;
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_candidate_that_ended_before_it_was_adopted_is_started_again() {
    let fleet = fleet(vec![], FleetConfig { idle: Duration::from_millis(50), ..config() });
    let mark = unique();
    let candidate = fleet.try_out(&operator(), with_env(release("x", true), "MARK", &mark)).await.unwrap();
    none_left(&mark, Duration::from_secs(5)).await;
    fleet.adopt(&operator(), candidate).unwrap();
    assert_eq!(answers(&fleet, "acme").await.unwrap(), "x");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn servers_of_the_file_stay_as_they_are() {
    let fleet = fleet(vec![python("py", "legacy")], config());
    for error in [
        fleet.try_out(&operator(), release("new", false)).await.map(drop),
        fleet.remove(&operator(), &name("py")).await.map(drop),
        fleet.may_change(&name("py")),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("operator's file"), "{error}");
    }
    fleet.may_change(&name("other")).unwrap();
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_removed_server_is_gone_and_can_be_added_again() {
    let mark = unique();
    let fleet = fleet(vec![python("first", "legacy")], config());
    switch(&fleet, with_env(release("1", false), "MARK", &mark)).await;
    for tenant in ["acme", "other"] {
        assert_eq!(answers(&fleet, tenant).await.unwrap(), "1");
    }
    let names: Vec<_> = fleet.names(&scope("acme")).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["first", "py"]);
    assert!(fleet.remove(&operator(), &name("py")).await.unwrap());
    none_left(&mark, Duration::from_secs(5)).await;
    assert_eq!(answers(&fleet, "acme").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!fleet.remove(&operator(), &name("py")).await.unwrap());
    switch(&fleet, release("2", false)).await;
    assert_eq!(answers(&fleet, "acme").await.unwrap(), "2");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_release_of_another_era_is_asked_anew() {
    let fleet = fleet(vec![], config());
    for mode in ["legacy", "modern", "legacy"] {
        let mut spec = python("py", mode);
        if let TransportSpec::Stdio(stdio) = &mut spec.transport {
            stdio.env.insert("RELEASE".to_owned(), mcp_core::key::Secret::new(mode.to_owned()));
        }
        switch(&fleet, spec).await;
        assert_eq!(answers(&fleet, "acme").await.unwrap(), mode);
    }
    fleet.shutdown(Duration::ZERO).await;
}

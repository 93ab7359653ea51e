//! Whose instance it is, when it starts and stops, and how many there may be.

mod support;

use std::time::Duration;

use mcp_automation::{
    fleet::{FleetConfig, ServerState, launcher::Launcher},
    upstream::Upstreams,
};
use mcp_core::ErrorKind;
use serde_json::json;
use support::*;

#[tokio::test]
async fn a_hundred_first_users_start_one_process() {
    let mark = unique();
    let fleet = fleet(vec![with_env(python("py", "legacy"), "MARK", &mark)], config());
    let scope = scope("acme");
    let server = name("py");
    let connecting = (0..100).map(|_| fleet.connect(&scope, &server));
    for connected in futures_util::future::join_all(connecting).await {
        connected.unwrap();
    }
    assert_eq!(marked(&mark).len(), 1);
    assert_eq!(fleet.status(&operator())[0].starts, 1);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn tenants_share_a_process_only_where_the_operator_says_so() {
    let mut shared = python("shared", "legacy");
    shared.stateless = true;
    let fleet = fleet(vec![python("own", "legacy"), shared], config());
    let mut pids = Vec::new();
    for (tenant, server) in [("acme", "own"), ("other", "own"), ("acme", "shared"), ("other", "shared")] {
        let scope = scope(tenant);
        let upstream = fleet.connect(&scope, &name(server)).await.unwrap();
        pids.push(call(&*upstream, &scope, "pid", json!({})).await.unwrap()["pid"].clone());
    }
    assert_ne!(pids[0], pids[1]);
    assert_eq!(pids[2], pids[3]);
    let names: Vec<_> = fleet.names(&scope("acme")).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["own", "shared"]);
    assert_eq!(fleet.tenant_status(&scope("acme")).len(), 2);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_closed_tenant_has_no_process_and_gets_none_until_it_is_opened() {
    let mark = unique();
    let mut shared = python("shared", "legacy");
    shared.stateless = true;
    let fleet = fleet(vec![with_env(python("own", "legacy"), "MARK", &mark), shared], config());
    let (acme, other) = (scope("acme"), scope("other"));
    for (tenant, server) in [(&acme, "own"), (&other, "own"), (&acme, "shared")] {
        fleet.connect(tenant, &name(server)).await.unwrap();
    }
    assert_eq!(marked(&mark).len(), 2);

    fleet.close_tenants(&operator(), || [acme.tenant().clone()].into());
    for server in ["own", "shared"] {
        let error = fleet.connect(&acme, &name(server)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        fleet.connect(&other, &name(server)).await.unwrap();
    }

    let one_left = async {
        while marked(&mark).len() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), one_left).await.unwrap();

    fleet.close_tenants(&operator(), || [other.tenant().clone()].into());
    none_left(&mark, Duration::from_secs(10)).await;
    fleet.connect(&acme, &name("own")).await.unwrap();
    assert_eq!(marked(&mark).len(), 1);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn the_child_sees_its_own_environment_and_nothing_else() {
    let fleet = fleet(vec![with_env(python("py", "legacy"), "TOKEN", "t-1")], config());
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    let env = call(&*upstream, &scope, "pid", json!({})).await.unwrap()["env"].clone();
    let mut names: Vec<_> = env.as_object().unwrap().keys().map(String::as_str).collect();
    // Python sets LC_CTYPE for itself where no locale is set.
    names.retain(|name| *name != "LC_CTYPE");
    assert_eq!(names, ["HOME", "MCP_PLATFORM_INSTANCE", "PATH", "TOKEN"]);
    assert_eq!(env["TOKEN"], "t-1");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_unused_server_is_stopped_and_its_next_use_starts_it() {
    let mark = unique();
    let config = FleetConfig { idle: Duration::from_millis(300), ..config() };
    let fleet = fleet(vec![with_env(python("py", "legacy"), "MARK", &mark)], config);
    fleet.connect(&scope("acme"), &name("py")).await.unwrap();
    none_left(&mark, Duration::from_secs(10)).await;
    assert!(call_until_back(&fleet, "acme", "py", "pid").await["pid"].is_u64());
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_call_in_flight_keeps_its_server_from_being_idle() {
    let config = FleetConfig { idle: Duration::from_millis(200), ..config() };
    let fleet = fleet(vec![python("py", "legacy")], config);
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    assert_eq!(call(&*upstream, &scope, "late", json!({ "seconds": 1.0 })).await.unwrap()["late"], true);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn caps_on_processes_are_kept_and_named() {
    let config = FleetConfig { processes: 3, processes_per_tenant: 2, ..config() };
    let servers = vec![python("a", "legacy"), python("b", "legacy"), python("c", "legacy")];
    let fleet = fleet(servers, config);
    for server in ["a", "b"] {
        fleet.connect(&scope("acme"), &name(server)).await.unwrap();
    }
    let error = fleet.connect(&scope("acme"), &name("c")).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Unavailable && error.message().contains("2 processes of the tenant"),
        "{error}"
    );
    fleet.connect(&scope("other"), &name("a")).await.unwrap();
    let error = fleet.connect(&scope("third"), &name("a")).await.unwrap_err();
    assert!(error.message().contains("3 processes of the platform"), "{error}");
    assert_eq!(fleet.connect(&scope("acme"), &name("none")).await.unwrap_err().kind(), ErrorKind::NotFound);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_that_never_starts_is_given_up_until_an_operator_restarts_it() {
    let config = FleetConfig { crash_loop: 2, ..config() };
    let fleet = fleet(vec![python("py", "exits")], config);
    let error = fleet.connect(&scope("acme"), &name("py")).await.unwrap_err();
    assert!(error.report().contains("exited with status 7"), "{error:?}");
    assert!(!error.message().contains("status 7"), "{error}");
    assert!(error.retry_after().is_some());
    let given_up = async {
        while !matches!(fleet.status(&operator())[0].state, ServerState::GivenUp { .. }) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), given_up).await.unwrap();
    let error = fleet.connect(&scope("acme"), &name("py")).await.unwrap_err();
    assert!(error.message().ends_with("failed too often and rests"), "{error}");
    let ServerState::GivenUp { reason, .. } = &fleet.status(&operator())[0].state else { panic!("{error}") };
    assert!(reason.contains("exited with status 7"), "{reason}");
    let own = fleet.tenant_status(&scope("acme"));
    assert!(matches!(&own[0].state, ServerState::GivenUp { reason, .. } if reason.is_empty()), "{own:?}");
    let starts = fleet.status(&operator())[0].starts;
    fleet.restart(&operator(), None, &name("py"));
    let restarted = async {
        while fleet.status(&operator())[0].starts == starts {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), restarted).await.unwrap();
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_missing_command_is_named_to_operators_alone() {
    let server = mcp_automation::fleet::ServerSpec::stdio(name("py"), "no-such-command", []);
    let fleet = fleet(vec![server], config());
    let error = fleet.connect(&scope("acme"), &name("py")).await.unwrap_err();
    assert_eq!(error.message(), "server `py`: is restarting after a failure");
    assert!(error.report().contains("`no-such-command` cannot be started"), "{error:?}");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn stderr_is_kept_for_operators() {
    let fleet = fleet(vec![python("py", "legacy")], config());
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    call(&*upstream, &scope, "stderr", json!({})).await.unwrap();
    let kept = async {
        while fleet.stderr(&operator(), Some(scope.tenant()), &name("py")) != ["a line on stderr"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), kept).await.unwrap();
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_calls_in_flight() {
    let fleet = fleet(vec![python("py", "legacy")], config());
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    let arguments = json!({ "seconds": 0.5 });
    let calling = call(&*upstream, &scope, "late", arguments);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fleet.shutdown(Duration::from_secs(10)).await;
    };
    let (reply, ()) = tokio::join!(calling, stopping);
    assert_eq!(reply.unwrap()["late"], true);
}

#[tokio::test]
async fn a_launcher_that_never_reports_takes_no_longer_than_a_start_may() {
    // `cat` reads the order and says nothing.
    let launcher = Launcher::Program("/bin/cat".into());
    let slow = FleetConfig { launcher: launcher.clone(), start: Duration::from_millis(300), ..config() };
    let fleet_slow = fleet(vec![python("py", "legacy")], slow);
    let failed = async {
        while !matches!(fleet_slow.status(&operator())[0].state, ServerState::BackingOff { .. }) {
            let _ = fleet_slow.connect(&scope("acme"), &name("py")).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), failed).await.unwrap();
    fleet_slow.shutdown(Duration::ZERO).await;

    let patient = fleet(vec![python("py", "legacy")], FleetConfig { launcher, ..config() });
    let hurried = scope_for("acme", Duration::from_millis(200));
    let error = patient.connect(&hurried, &name("py")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    tokio::time::timeout(Duration::from_secs(5), patient.shutdown(Duration::ZERO)).await.unwrap();
}

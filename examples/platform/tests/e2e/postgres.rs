//! The same binary on Postgres, with a tenant in each isolation mode.

use serde_json::json;

use crate::support::{Served, database::Database, fixture, processes};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_every_isolation_mode_are_served_by_one_binary() {
    let database = Database::postgres().await;
    let config = format!(
        "{}tier_isolation = {{ standard = \"row\", business = \"schema\", regulated = \"database\" }}\n\
         [tenants]\nerase_interval_seconds = 1\nsettle_seconds = 1\n",
        database.settings(),
    );
    let mark = uuid::Uuid::new_v4().to_string();
    let mut served = Served::prepare(&json!({ "fixture": fixture(&mark, &[]) }), &config);
    let unmigrated = served.try_command(&["tenant", "list"]);
    let said = String::from_utf8_lossy(&unmigrated.stderr).into_owned();
    assert!(!unmigrated.status.success() && said.contains("mcp-platform migrate"), "{said}");

    served.command(&["migrate"]);
    served.run();
    let mut clients = Vec::new();
    for tier in ["standard", "business", "regulated"] {
        served.command(&["tenant", "create", &format!("acme-{tier}"), "--tier", tier]);
        let token = served.token(&format!("acme-{tier}"));
        clients.push((tier, served.client(&token).await));
    }
    for (tier, client) in &mut clients {
        let secret = json!({ "name": "plan", "value": format!("of {tier}") });
        client.call("fixture__remember", &secret).await.unwrap();
        let headers = [("x-tenant-id", "acme-nobody")];
        let refused = client.attempt("tools/list", &json!({}), &headers).await.unwrap();
        assert_eq!(refused.status, http::StatusCode::FORBIDDEN);
    }
    for (tier, client) in &mut clients {
        let plan = client.call("fixture__recall", &json!({ "name": "plan" })).await.unwrap();
        assert!(plan.contains(&format!("of {tier}")), "{tier} recalls {plan}");
    }
    drop(clients);
    for (tier, place) in [("standard", "rows"), ("business", "schema"), ("regulated", "database")] {
        let tenant = format!("acme-{tier}");
        served.command(&["tenant", "delete", &tenant, "--grace-days", "0"]);
        processes::eventually(&format!("the {place} of {tenant} are not erased"), PATIENCE, || {
            served.try_command(&["tenant", "receipt", &tenant]).status.success()
        });
    }
    assert!(served.stop().success());
    let report = served.command(&["audit", "verify"]);
    assert_eq!(report["intact"], true, "{report}");
    assert!(processes::marked(&mark).is_empty());
    database.end().await;
}

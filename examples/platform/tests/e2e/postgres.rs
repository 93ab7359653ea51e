//! The same binary on Postgres, with a tenant in each isolation mode.

use mcp_core::conformance::PgTestDatabase;
use serde_json::json;

use crate::support::{Served, fixture, processes};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_every_isolation_mode_are_served_by_one_binary() {
    let database = PgTestDatabase::create().await.unwrap();
    let url = |url: &Option<mcp_core::key::Secret<String>>| url.as_ref().unwrap().expose().clone();
    let config = format!(
        "[database]\nbackend = \"postgres\"\nurl = {:?}\nowner_url = {:?}\nrelay_url = {:?}\n\
         tenant_database_prefix = {:?}\ntier_isolation = {{ standard = \"row\", business = \"schema\", regulated = \"database\" }}\n\
         [tenants]\nerase_interval_seconds = 1\nsettle_seconds = 1\n",
        database.config.app.expose(),
        url(&database.config.owner),
        url(&database.config.relay),
        database.config.database_prefix,
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
    database.destroy().await.unwrap();
}

//! What PostgreSQL itself says of the tables of all crates together, in every isolation mode.

use std::collections::BTreeSet;

use mcp_core::{
    PlatformScope,
    conformance::PgTestDatabase,
    key::Secret,
    scope::{PrincipalId, TenantId},
    sql::{
        IsolationMode,
        postgres::{query, query_as, query_scalar},
    },
};
use mcp_platform::{
    Administration,
    config::{Backend, Config},
};
use mcp_tenancy::tenant::{Name, NewTenant};
use sqlx::{Connection as _, PgConnection};

/// A table of each crate that keeps something for tenants: so that the look is at all of them.
const OF_EVERY_CRATE: [&str; 5] = ["outbox", "audit", "policy_version", "context", "memory"];

/// A database with everything in it, and a tenant in each isolation mode.
async fn migrated() -> (PgTestDatabase, Administration, tempfile::TempDir) {
    let database = PgTestDatabase::create().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.data.dir = directory.path().to_owned();
    let url = |url: &Option<Secret<String>>| url.as_ref().unwrap().expose().clone();
    config.database.backend = Backend::Postgres;
    config.database.url = database.config.app.expose().clone();
    config.database.owner_url = url(&database.config.owner);
    config.database.relay_url = url(&database.config.relay);
    config.database.tenant_database_prefix = database.config.database_prefix.clone();
    config.database.tier_isolation =
        IsolationMode::ALL.map(|mode| (mode.to_string(), mode)).into_iter().collect();
    Administration::migrate(&config, &operator()).await.unwrap();
    let administration = Administration::open(&config).await.unwrap();
    for mode in IsolationMode::ALL {
        for which in ["a", "b"] {
            let id = TenantId::parse(&format!("{mode}-{which}")).unwrap();
            let mut new = NewTenant::new(id, "A tenant");
            new.profile.tier = Name::parse(&mode.to_string()).unwrap();
            administration.tenancy().create_tenant(&operator(), new).await.unwrap();
        }
    }
    (database, administration, directory)
}

fn operator() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

/// Where tenants' tables are: a database (`None` is the main one) and a schema.
const PLACES: [(Option<&str>, &str); 5] = [
    (None, "mcp_data"),
    (None, "schema_a"),
    (None, "schema_b"),
    (Some("database_a"), "mcp_data"),
    (Some("database_b"), "mcp_data"),
];

/// A statement of a superuser's about the app role.
async fn holds(admin: &mut PgConnection, what: &'static str, role: &str) -> bool {
    query_scalar(what).bind(role.to_owned()).fetch_one(admin).await.unwrap()
}

#[tokio::test]
async fn every_table_of_every_crate_forces_row_security() {
    let (database, administration, _directory) = migrated().await;
    for (place, schema) in PLACES {
        let mut admin = database.admin(place).await.unwrap();
        let tables: Vec<(String, bool, bool)> = query_as(
            "SELECT c.relname::text,
                    c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
                        SELECT 1 FROM pg_policies p WHERE p.schemaname = $1 AND p.tablename = c.relname
                          AND p.qual IS NOT NULL AND p.with_check IS NOT NULL),
                    EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'
                        AND a.attnotnull AND NOT a.attisdropped)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE '\\_migrations\\_%'",
        )
        .bind(schema)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        let names: BTreeSet<&str> = tables.iter().map(|(name, ..)| name.as_str()).collect();
        for expected in OF_EVERY_CRATE {
            assert!(names.contains(expected), "{schema} has no `{expected}`: {names:?}");
        }
        for (name, guarded, of_tenants) in &tables {
            assert!(*of_tenants, "`{schema}.{name}` is a tenant's and has no `tenant_id`");
            assert!(*guarded, "`{schema}.{name}` does not force row-level security under a policy");
        }
        // Nothing may show the rows of such a table with the rights of whoever made it.
        let views: Vec<String> = query_scalar(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('v', 'm')",
        )
        .bind(schema)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        assert!(views.is_empty(), "views in {schema}: {views:?}");
        let definers: Vec<String> = query_scalar(
            "SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = $1 AND p.prosecdef",
        )
        .bind(schema)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        assert!(definers.is_empty(), "functions with their owner's rights in {schema}: {definers:?}");
        admin.close().await.unwrap();
    }
    administration.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn the_app_role_is_no_owner_and_passes_no_row_security() {
    let (database, administration, _directory) = migrated().await;
    let role = database.app_role();
    for place in [None, Some("database_a"), Some("database_b")] {
        let mut admin = database.admin(place).await.unwrap();
        let plain = "SELECT NOT rolsuper AND NOT rolbypassrls AND NOT rolcreaterole AND NOT rolcreatedb
                     FROM pg_roles WHERE rolname = $1";
        assert!(holds(&mut admin, plain, &role).await, "the app role may more than read and write");
        let owns = "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
                                   WHERE r.rolname = $1)
                        OR EXISTS (SELECT 1 FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
                                   WHERE r.rolname = $1)
                        OR EXISTS (SELECT 1 FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                                   WHERE r.rolname = $1)";
        assert!(!holds(&mut admin, owns, &role).await, "the app role owns something in {place:?}");
        // What it is a member of, it can become.
        let member = "SELECT EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
                                     WHERE r.rolname = $1)";
        assert!(!holds(&mut admin, member, &role).await, "the app role is a member of another");
        admin.close().await.unwrap();
    }
    administration.close().await;
    database.destroy().await.unwrap();
}

/// A plan made as one tenant, executed as another, on the platform's own tables.
#[tokio::test]
async fn a_plan_made_as_one_tenant_shows_nothing_of_it_to_another() {
    let (database, administration, _directory) = migrated().await;
    let mut app = PgConnection::connect(database.config.app.expose()).await.unwrap();
    let mut admin = database.admin(None).await.unwrap();
    for tenant in ["row-a", "row-b"] {
        query(
            "INSERT INTO mcp_data.audit (tenant_id, id, time, actor, action, resource, outcome, request_id,
                                         detail_digest)
             VALUES ($1, gen_random_uuid()::text, 0, 'x', 'x', 'x', 'done', 'x', '')",
        )
        .bind(tenant)
        .execute(&mut admin)
        .await
        .unwrap();
    }
    query("SET plan_cache_mode = force_generic_plan").execute(&mut app).await.unwrap();
    become_tenant(&mut app, "row-a").await;
    query("PREPARE whose AS SELECT DISTINCT tenant_id FROM mcp_data.audit").execute(&mut app).await.unwrap();
    for round in 0..8 {
        for tenant in ["row-a", "row-b"] {
            become_tenant(&mut app, tenant).await;
            let seen: Vec<(String,)> = query_as("EXECUTE whose").fetch_all(&mut app).await.unwrap();
            assert_eq!(seen, [(tenant.to_owned(),)], "round {round}");
        }
    }
    app.close().await.unwrap();
    admin.close().await.unwrap();
    administration.close().await;
    database.destroy().await.unwrap();
}

async fn become_tenant(app: &mut PgConnection, tenant: &'static str) {
    query("SELECT set_config('app.tenant_id', $1, false)").bind(tenant).execute(app).await.unwrap();
}

/// Tables above tenants that name tenants: what is asked before it is known which tenant it is for. They are a set of
/// their own, reached with a `PlatformScope`; a table that is a tenant's data does not belong there.
const ABOVE_TENANTS: [&str; 18] = [
    "api_key",
    "audit",
    "audit_checkpoint",
    "audit_pending",
    "audit_seal",
    "certificate_identity",
    "closed_placement",
    "data_key",
    "issuer",
    "outbox",
    "outbox_pending",
    "outbox_published",
    "placement",
    "placement_region",
    "quota_limit",
    "refresh_family",
    "signing_key",
    "token_revocation",
];

#[tokio::test]
async fn a_table_that_names_tenants_is_theirs_or_known_to_stand_above_them() {
    let (database, administration, _directory) = migrated().await;
    let mut admin = database.admin(None).await.unwrap();
    let found: Vec<String> = query_scalar(
        "SELECT n.nspname || '.' || c.relname FROM pg_attribute a
         JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE a.attname IN ('tenant_id', 'tenant') AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND n.nspname NOT LIKE 'pg\\_%'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let known = ABOVE_TENANTS.map(|table| format!("mcp_control.{table}"));
    let known: BTreeSet<_> = known.iter().map(String::as_str).collect();
    assert_eq!(found, known, "a table names tenants and does not force row-level security");
    admin.close().await.unwrap();
    administration.close().await;
    database.destroy().await.unwrap();
}

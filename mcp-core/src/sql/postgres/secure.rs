//! Row-level security and grants: put on every table by the kernel, so that no migration can forget them.

use sqlx::{PgConnection, postgres::PgConnectOptions};

use super::{config::Roles, query, query_as, query_scalar};
use crate::{
    error::{Error, Result},
    sql::{fault::OrFault, ident, migrations::Set},
};

/// Secures every table of a schema, within the transaction that made them.
pub(crate) async fn schema(conn: &mut PgConnection, schema: &str, set: Set, roles: &Roles) -> Result<()> {
    for role in [Some(&roles.app), roles.relay.as_ref()].into_iter().flatten() {
        run(conn, "GRANT USAGE ON SCHEMA {} TO {}", &[schema, role.get_username()]).await?;
    }
    for table in tables(conn, schema).await? {
        let bookkeeping = table.name.starts_with("_migrations_");
        if set == Set::Tenant && !bookkeeping {
            isolate(conn, schema, &table).await?;
        }
        let app = roles.app.get_username();
        grant(conn, schema, &table.name, app, app_may(&table.name, bookkeeping)).await?;
        if let Some(relay) = roles.relay.as_ref().map(PgConnectOptions::get_username) {
            let may = relay_may(&table.name, bookkeeping);
            let owns = roles.owner.as_ref().is_some_and(|owner| owner.get_username() == relay);
            // An owner that is held to the relay's rights could not migrate or provision any more.
            if !owns {
                grant(conn, schema, &table.name, relay, may).await?;
            }
            if set == Set::Tenant && !bookkeeping && may.is_some() {
                // A name each, so that a relay with a role of its own can follow an owner that did its work.
                let policy = if owns { "relay_is_owner" } else { "relay" };
                policy_of_relay(conn, schema, &table.name, policy, relay).await?;
            }
        }
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Table {
    name: String,
    forced: bool,
    keyed_by_tenant: bool,
}

async fn tables(conn: &mut PgConnection, schema: &str) -> Result<Vec<Table>> {
    query_as(
        "SELECT c.relname::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
                EXISTS (SELECT 1 FROM pg_index i
                        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attname = 'tenant_id') AS keyed_by_tenant
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname",
    )
    .bind(schema)
    .fetch_all(conn)
    .await
    .or_fault("sql.secure")
}

/// Rows are seen and written only by the tenant that is set; by none if it is unset or empty. `FORCE` holds
/// for the owner too.
async fn isolate(conn: &mut PgConnection, schema: &str, table: &Table) -> Result<()> {
    if !table.keyed_by_tenant {
        let message =
            format!("the primary key of the tenants' table `{}` must begin with `tenant_id`", table.name);
        return Err(Error::invalid_input("sql.migrate", message));
    }
    let names = [schema, &table.name];
    if !table.forced {
        run(conn, "ALTER TABLE {}.{} ENABLE ROW LEVEL SECURITY", &names).await?;
        run(conn, "ALTER TABLE {}.{} FORCE ROW LEVEL SECURITY", &names).await?;
    }
    if !has_policy(conn, schema, &table.name, "tenant_isolation").await? {
        let template = "CREATE POLICY tenant_isolation ON {}.{}
             USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''))
             WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''))";
        run(conn, template, &names).await?;
    }
    Ok(())
}

async fn policy_of_relay(
    conn: &mut PgConnection,
    schema: &str,
    table: &str,
    policy: &str,
    relay: &str,
) -> Result<()> {
    if has_policy(conn, schema, table, policy).await? {
        return Ok(());
    }
    let template = "CREATE POLICY {} ON {}.{} TO {} USING (true) WITH CHECK (true)";
    run(conn, template, &[policy, schema, table, relay]).await
}

/// The log is append-only for the platform: what it writes it cannot change.
const fn app_may(table: &str, bookkeeping: bool) -> Option<&'static str> {
    match table.as_bytes() {
        _ if bookkeeping => Some("SELECT"),
        b"audit" | b"outbox" => Some("SELECT, INSERT"),
        b"audit_pending" | b"outbox_pending" => Some("INSERT"),
        b"audit_seal" | b"audit_checkpoint" | b"outbox_published" => Some("SELECT"),
        b"placement" | b"placement_region" => Some("SELECT, INSERT"),
        // Only the owner closes places, and no row ever goes.
        b"closed_placement" => Some("SELECT"),
        // The row of a destroyed key must stay.
        b"data_key" => Some("SELECT, INSERT, UPDATE"),
        _ => Some("SELECT, INSERT, UPDATE, DELETE"),
    }
}

const fn relay_may(table: &str, bookkeeping: bool) -> Option<&'static str> {
    match table.as_bytes() {
        _ if bookkeeping => Some("SELECT"),
        b"audit" | b"placement" | b"placement_region" => Some("SELECT"),
        b"outbox" | b"audit_pending" | b"outbox_pending" => Some("SELECT, DELETE"),
        b"outbox_published" => Some("SELECT, INSERT, DELETE"),
        b"audit_seal" | b"audit_checkpoint" => Some("SELECT, INSERT"),
        b"lease" => Some("SELECT, INSERT, UPDATE"),
        _ => None,
    }
}

async fn grant(
    conn: &mut PgConnection,
    schema: &str,
    table: &str,
    role: &str,
    may: Option<&str>,
) -> Result<()> {
    let names = [schema, table, role];
    run(conn, "REVOKE ALL ON {}.{} FROM {}", &names).await?;
    let template = match may {
        None => return Ok(()),
        Some("SELECT") => "GRANT SELECT ON {}.{} TO {}",
        Some("INSERT") => "GRANT INSERT ON {}.{} TO {}",
        Some("SELECT, INSERT") => "GRANT SELECT, INSERT ON {}.{} TO {}",
        Some("SELECT, DELETE") => "GRANT SELECT, DELETE ON {}.{} TO {}",
        Some("SELECT, INSERT, DELETE") => "GRANT SELECT, INSERT, DELETE ON {}.{} TO {}",
        Some("SELECT, INSERT, UPDATE") => "GRANT SELECT, INSERT, UPDATE ON {}.{} TO {}",
        Some(_) => "GRANT SELECT, INSERT, UPDATE, DELETE ON {}.{} TO {}",
    };
    run(conn, template, &names).await
}

async fn has_policy(conn: &mut PgConnection, schema: &str, table: &str, policy: &str) -> Result<bool> {
    query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_policies
                        WHERE schemaname = $1 AND tablename = $2 AND policyname = $3)",
    )
    .bind(schema)
    .bind(table)
    .bind(policy)
    .fetch_one(conn)
    .await
    .or_fault("sql.secure")
}

async fn run(conn: &mut PgConnection, template: &'static str, names: &[&str]) -> Result<()> {
    query(ident::sql(template, names)).execute(conn).await.or_fault("sql.secure")?;
    Ok(())
}

/// Refuses to run as a role that row-level security would not hold.
///
/// # Errors
/// `InvalidInput` that says what the role must lose.
pub(crate) async fn check_app_role(conn: &mut PgConnection, schemas: &[&str]) -> Result<()> {
    let (super_, bypass, owns): (bool, bool, bool) = query_as(
        "SELECT r.rolsuper, r.rolbypassrls,
                EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = ANY($1) AND pg_has_role(current_user, c.relowner, 'MEMBER'))
         FROM pg_roles r WHERE r.rolname = current_user",
    )
    .bind(schemas.iter().map(|&schema| schema.to_owned()).collect::<Vec<String>>())
    .fetch_one(conn)
    .await
    .or_fault("sql.open")?;
    let fault = match (super_, bypass, owns) {
        (true, _, _) => "is a superuser",
        (_, true, _) => "has BYPASSRLS",
        (_, _, true) => "owns the tables, or is a member of the role that does",
        _ => return Ok(()),
    };
    let message = format!(
        "the role of the database URL `app` {fault}, so tenants would not be kept apart; use another"
    );
    Err(Error::invalid_input("sql.open", message))
}

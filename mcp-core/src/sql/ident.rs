//! The one place where SQL is put together from parts: identifiers are quoted here, and nowhere else is SQL
//! asserted safe.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Puts SQL together: each `{}` of the template is replaced by the next identifier, quoted.
///
/// The template is the program's own text; the identifiers may be anything, as quotes in them are doubled.
/// A template with more `{}` than identifiers keeps the rest, which the database then refuses.
pub(crate) fn sql(template: &'static str, identifiers: &[&str]) -> SqlStr {
    let mut text = String::with_capacity(template.len() + 32 * identifiers.len());
    let mut rest = template;
    for identifier in identifiers {
        let Some((before, after)) = rest.split_once("{}") else { break };
        text.push_str(before);
        text.push_str(&quoted(identifier));
        rest = after;
    }
    text.push_str(rest);
    AssertSqlSafe(text).into_sql_str()
}

/// Deletes some rows of one tenant from `table`, whose rows `keys` tell apart: SQLite has no `DELETE … LIMIT`. Bind
/// the tenant and the number of rows.
#[cfg(feature = "sqlite")]
pub(crate) fn delete_some(table: &str, keys: &[String]) -> SqlStr {
    let keys: Vec<_> = keys.iter().map(|key| quoted(key)).collect();
    let (table, keys) = (quoted(table), keys.join(", "));
    AssertSqlSafe(format!(
        "DELETE FROM {table} WHERE tenant_id = ?1 AND ({keys}) IN (SELECT {keys} FROM {table} WHERE tenant_id = ?1 LIMIT ?2)"
    ))
    .into_sql_str()
}

/// An identifier in quotes. NUL, which neither database can hold in a name, is dropped.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('\0', "").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_leave_their_quotes() {
        let text = sql("GRANT USAGE ON SCHEMA {} TO {}", &["a\"; DROP TABLE t; --", "b\0"]);
        assert_eq!(text.as_str(), "GRANT USAGE ON SCHEMA \"a\"\"; DROP TABLE t; --\" TO \"b\"");
    }
}

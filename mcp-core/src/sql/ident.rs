//! The one place where SQL is put together from parts: identifiers are quoted here, and nowhere else is SQL
//! asserted safe.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Puts SQL together: each `{}` of the template is replaced by the next identifier, quoted.
///
/// The template is the program's own text; the identifiers may be anything, as quotes in them are doubled.
/// A template with more `{}` than identifiers keeps the rest, which the database then refuses.
pub(crate) fn sql(template: &'static str, identifiers: &[&str]) -> SqlStr {
    fill(template, identifiers.iter().map(|identifier| quoted(identifier)))
}

/// What may stand in SQL that takes no arguments: `SET LOCAL`, and statements that travel with it.
#[cfg(feature = "postgres")]
pub(crate) enum Part<'a> {
    Identifier(&'a str),
    Text(&'a str),
    Number(u64),
}

/// As [`sql`], with texts and numbers too. For PostgreSQL.
#[cfg(feature = "postgres")]
pub(crate) fn sql_of(template: &'static str, parts: &[Part<'_>]) -> SqlStr {
    let part = |part: &Part<'_>| match part {
        Part::Identifier(identifier) => quoted(identifier),
        Part::Text(text) => quoted_text(text),
        Part::Number(number) => number.to_string(),
    };
    fill(template, parts.iter().map(part))
}

fn fill(template: &'static str, parts: impl ExactSizeIterator<Item = String>) -> SqlStr {
    let mut text = String::with_capacity(template.len() + 32 * parts.len());
    let mut rest = template;
    for part in parts {
        let Some((before, after)) = rest.split_once("{}") else { break };
        text.push_str(before);
        text.push_str(&part);
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

/// A text in quotes, which means the same whatever the server's `standard_conforming_strings` says. NUL, which no
/// text can hold there, is dropped.
#[cfg(feature = "postgres")]
fn quoted_text(text: &str) -> String {
    format!("E'{}'", text.replace('\0', "").replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "postgres")]
    #[test]
    fn texts_cannot_leave_their_quotes() {
        let parts = [Part::Text("a'; DROP TABLE t; --\\' \0b{}"), Part::Number(7), Part::Identifier("c\"d")];
        let text = sql_of("SET a = {}; SET b = {}; SET c = {}", &parts);
        let expected = "SET a = E'a''; DROP TABLE t; --\\\\'' b{}'; SET b = 7; SET c = \"c\"\"d\"";
        assert_eq!(text.as_str(), expected);
    }

    #[test]
    fn identifiers_cannot_leave_their_quotes() {
        let text = sql("GRANT USAGE ON SCHEMA {} TO {}", &["a\"; DROP TABLE t; --", "b\0"]);
        assert_eq!(text.as_str(), "GRANT USAGE ON SCHEMA \"a\"\"; DROP TABLE t; --\" TO \"b\"");
    }
}

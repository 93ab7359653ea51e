//! `mcp-platform config`: every setting, its meaning, its value and, where it was changed, its default.

use std::fmt::Write as _;

use mcp_core::{Error, Result};
use toml::{Table, Value};

use super::{Config, Provider, Route, docs};

/// The settings as a TOML file that gives the same configuration when it is read back; only passwords in URLs
/// are left out.
pub fn print(config: &Config) -> Result<String> {
    let (values, defaults) = (table(config)?, table(&Config::default())?);
    let mut text = String::new();
    for (section, values) in &values {
        if let (Value::Table(values), Some(Value::Table(defaults))) = (values, defaults.get(section)) {
            print_section(&mut text, section, values, defaults);
        }
    }
    // After all else: what follows an array's table would belong to it.
    for (section, item) in items()? {
        match values.get(section) {
            Some(Value::Array(items)) if !items.is_empty() => print_items(&mut text, section, items, &item),
            _ => print_example(&mut text, section, &item),
        }
    }
    Ok(text)
}

/// The sections that are there as often as wanted, with an item's defaults.
fn items() -> Result<[(&'static str, Table); 2]> {
    let table = |made: Result<Table, _>| made.map_err(unprintable);
    Ok([
        ("providers", table(Table::try_from(Provider::default()))?),
        ("routes", table(Table::try_from(Route::default()))?),
    ])
}

fn print_items(text: &mut String, section: &str, items: &[Value], default: &Table) {
    for item in items.iter().filter_map(Value::as_table) {
        let _ = writeln!(text, "[[{section}]]");
        for (key, value) in item {
            let _ = writeln!(text, "# {}", docs::of(&format!("{section}.{key}")).unwrap_or_default());
            if let Some(default) = default.get(key).filter(|default| *default != value) {
                let _ = writeln!(text, "# Default: {}", inline(default));
            }
            let _ = writeln!(text, "{key} = {}", inline(value));
        }
        text.push('\n');
    }
}

/// What an item would look like, where there is none.
fn print_example(text: &mut String, section: &str, default: &Table) {
    let _ = writeln!(text, "# [[{section}]]");
    for (key, value) in default {
        let _ = writeln!(text, "# # {}", docs::of(&format!("{section}.{key}")).unwrap_or_default());
        let _ = writeln!(text, "# {key} = {}", inline(value));
    }
    text.push('\n');
}

/// One section, then those within it: TOML wants a table's own keys before its sub-tables.
fn print_section(text: &mut String, path: &str, values: &Table, defaults: &Table) {
    let _ = writeln!(text, "[{path}]");
    let mut nested = Vec::new();
    for (key, value) in values {
        let setting = format!("{path}.{key}");
        let default = defaults.get(key);
        match (value, default, docs::of(&setting)) {
            (Value::Table(values), Some(Value::Table(defaults)), None) => {
                nested.push((setting, values, defaults))
            }
            (_, _, meaning) => {
                let _ = writeln!(text, "# {}", meaning.unwrap_or_default());
                if let Some(default) = default.filter(|default| *default != value) {
                    let _ = writeln!(text, "# Default: {}", inline(default));
                }
                let _ = writeln!(text, "{key} = {}", inline(value));
            }
        }
    }
    text.push('\n');
    for (path, values, defaults) in nested {
        print_section(text, &path, values, defaults);
    }
}

pub(super) fn table(config: &Config) -> Result<Table> {
    Table::try_from(config).map_err(unprintable)
}

fn unprintable(error: toml::ser::Error) -> Error {
    Error::internal("config.print", error.to_string())
}

/// A value on one line; passwords in URLs are left out.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => Value::String(without_password(text)).to_string(),
        Value::Table(table) => {
            let pairs: Vec<_> =
                table.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A password may hold an `@` of its own, and may stand in the query.
    let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let host = host.split_once("password=").map_or(host.to_owned(), |(head, _)| format!("{head}password=…"));
    match user.split_once(':') {
        _ if user.is_empty() => format!("{scheme}://{host}"),
        Some((name, _)) => format!("{scheme}://{name}:…@{host}"),
        None => format!("{scheme}://{user}@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Deployment;

    #[test]
    fn every_setting_has_a_meaning_and_every_meaning_a_setting() {
        fn paths(prefix: &str, value: &Value, into: &mut Vec<String>) {
            match value {
                Value::Table(table) if prefix.is_empty() || docs::of(prefix).is_none() => {
                    for (key, value) in table {
                        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                        paths(&path, value, into);
                    }
                }
                _ => into.push(prefix.to_owned()),
            }
        }
        let mut settings = Vec::new();
        let mut defaults = table(&Config::default()).unwrap();
        for (section, item) in items().unwrap() {
            defaults.insert(section.to_owned(), Value::Table(item));
        }
        paths("", &Value::Table(defaults), &mut settings);
        for setting in &settings {
            assert!(docs::of(setting).is_some(), "{setting} has no meaning in docs.rs");
        }
        for (path, _) in docs::DOCS {
            assert!(settings.iter().any(|setting| setting == path), "{path} is no setting");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let mut config = Config::default();
        config.server.drain_seconds = 3;
        config.database.tier_isolation.insert("regulated".into(), mcp_core::sql::IsolationMode::Database);
        config.providers =
            ["main", "near"].map(|name| Provider { name: name.into(), ..Provider::default() }).into();
        let deployment = Deployment { provider: "near".into(), model: "llama3.2".into() };
        config.routes = vec![Route { model: "fast".into(), chain: vec![deployment] }];
        let text = print(&config).unwrap();
        assert!(text.contains("# Default: 10\ndrain_seconds = 3"), "{text}");
        assert!(text.contains("chain = [{ model = \"llama3.2\", provider = \"near\" }]"), "{text}");
        let back: Config = mcp_core::strict::from_toml("printed", &text).unwrap();
        assert_eq!(print(&back).unwrap(), text);
        assert_eq!((back.providers, back.routes), (config.providers, config.routes));
    }

    #[test]
    fn passwords_are_not_printed() {
        let mut config = Config::default();
        config.database.url = "postgres://app:hunter2@db/platform".into();
        config.database.owner_url = "postgres://o:p@hunter2@db/platform".into();
        config.database.relay_url = "postgres://relay@db/platform?password=hunter2".into();
        config.limits.redis_url = "redis://:hunter2@cache:6379".into();
        let text = print(&config).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!text.contains("hunter2") && text.contains("postgres://app:…@db/platform"), "{text}");
    }
}

//! Strict parsing of the files an operator writes: TOML, JSON and YAML.
//!
//! A file with an unknown key or a wrong type is refused with its name, line and column and, for an unknown
//! key, the nearest known one. The types that are parsed carry `#[serde(deny_unknown_fields)]`; this module
//! turns what serde says into what an operator can act on.

use serde::de::DeserializeOwned;

use crate::error::{Detail, Error, Result};

/// Parses TOML.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput): `file:line:column: what is wrong`.
pub fn from_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = error.span().map_or((1, 1), |span| position(text, span.start));
        refusal(file, line, column, error.message())
    })
}

/// Parses JSON.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput): `file:line:column: what is wrong`.
pub fn from_json<T: DeserializeOwned>(file: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| refusal(file, error.line(), error.column(), &error.to_string()))
}

/// Parses YAML.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput): `file:line:column: what is wrong`.
pub fn from_yaml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line() as usize, at.column() as usize));
        let message = error.without_snippet().to_string();
        refusal(file, line, column, message.lines().next().unwrap_or("malformed YAML"))
    })
}

/// Longest name that is compared with others: the comparison costs the product of both lengths, and the
/// unknown name may be a stranger's.
const LONGEST_NAME: usize = 128;

/// The known name nearest to `unknown`, if one is near enough to be a slip of the keyboard.
///
/// A name of more than 128 bytes is near none.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if unknown.len() > LONGEST_NAME {
        return None;
    }
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST_NAME)
        .map(|name| (strsim::normalized_damerau_levenshtein(unknown, name), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn refusal(file: &str, line: usize, column: usize, message: &str) -> Error {
    // serde_json and serde-saphyr repeat the place at the end.
    let message = message.split(" at line ").next().unwrap_or(message).trim();
    let unknown = unknown_name(message);
    let hint = unknown.as_ref().and_then(|(name, known)| nearest(name, known.iter().copied()));
    let text = match (&unknown, hint) {
        (Some((name, _)), Some(near)) => {
            format!("{file}:{line}:{column}: unknown key `{name}`; did you mean `{near}`?")
        }
        _ => format!("{file}:{line}:{column}: {message}"),
    };
    let error = Error::invalid_input("strict.parse", text);
    match unknown {
        Some((name, _)) => {
            error.with_detail(Detail::Field { path: name.to_owned(), nearest: hint.map(str::to_owned) })
        }
        None => error,
    }
}

/// Takes serde's sentence about an unknown field or variant apart: the name and the known ones.
fn unknown_name(message: &str) -> Option<(&str, Vec<&str>)> {
    let start = message.find("unknown field ").or_else(|| message.find("unknown variant "))?;
    let (unknown, known) = message[start..].split_once(", expected ")?;
    let name = unknown.split('`').nth(1)?;
    let known = known.trim_start_matches("one of ").split(", ").flat_map(|names| names.split(" or "));
    Some((name, known.map(|name| name.trim_matches(|c| c == '`' || c == ' ')).collect()))
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code, reason = "only the parse is under test")]
        listen: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only the parse is under test")]
        drain_seconds: u64,
    }

    fn messages(results: [Result<Config>; 3]) -> [String; 3] {
        results.map(|result| result.unwrap_err().message().to_owned())
    }

    #[test]
    fn an_unknown_key_is_named_with_place_and_nearest() {
        let [toml, json, yaml] = messages([
            from_toml("a.toml", "listen = \"x\"\ndrain_second = 3\n"),
            from_json("a.json", "{\"listen\": \"x\",\n \"drain_second\": 3}"),
            from_yaml("a.yaml", "listen: x\ndrain_second: 3\n"),
        ]);
        for message in [&toml, &json, &yaml] {
            assert!(
                message.contains("unknown key `drain_second`; did you mean `drain_seconds`?"),
                "{message}"
            );
            assert!(message.contains(":2:"), "{message}");
        }
        assert!(toml.starts_with("a.toml:2:1:"), "{toml}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let [toml, json, yaml] = messages([
            from_toml("a.toml", "listen = \"x\"\ndrain_seconds = \"soon\"\n"),
            from_json("a.json", "{\"listen\": \"x\",\n \"drain_seconds\": \"soon\"}"),
            from_yaml("a.yaml", "listen: x\ndrain_seconds: soon\n"),
        ]);
        for message in [&toml, &json, &yaml] {
            assert!(message.contains(":2:"), "{message}");
        }
        assert!(json.contains("expected u64"), "{json}");
    }

    #[test]
    fn a_far_name_gets_no_guess() {
        assert_eq!(nearest("zzz", ["listen", "drain_seconds"]), None);
        assert_eq!(nearest("lisen", ["listen", "drain_seconds"]), Some("listen"));
        let long = "listen".repeat(100_000);
        assert_eq!(nearest(&long, ["listen", &long]), None, "a long name is not worth its comparison");
    }
}

//! `${VAR}` and `${VAR:-default}` in an operator's file.

use std::collections::BTreeMap;

use mcp_core::{Error, Result};

/// Replaces every `${VAR}` and `${VAR:-default}` in `text`; the default stands in for an unset or empty
/// variable. A `$` that begins no such form stays.
///
/// # Errors
/// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names an unset variable without default, or a
/// form that is not closed; never with the text, which may hold a secret.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let (form, after) =
            rest[at + 2..].split_once('}').ok_or_else(|| refused("a `${` without its `}`".to_owned()))?;
        let (name, default) = match form.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (form, None),
        };
        let valid = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !valid {
            return Err(refused(
                "`${…}` holds no variable's name; write `${NAME}` or `${NAME:-default}`".to_owned(),
            ));
        }
        let set = variables.get(name).map(String::as_str);
        let value = match default {
            Some(default) => set.filter(|value| !value.is_empty()).unwrap_or(default),
            None => set.ok_or_else(|| {
                refused(format!("the variable `{name}` is not set; set it, or write `${{{name}:-default}}`"))
            })?,
        };
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn refused(why: String) -> Error {
    Error::invalid_input("fleet.expand", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String> {
        let variables = [("HOME", "/home/me"), ("EMPTY", "")];
        expand(text, &variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn variables_and_defaults() {
        assert_eq!(expanded("${HOME}/x:${NONE:-d}:${EMPTY:-e}:${EMPTY}.").unwrap(), "/home/me/x:d:e:.");
        assert_eq!(expanded("costs $5 $HOME").unwrap(), "costs $5 $HOME");
    }

    #[test]
    fn an_expanded_value_is_not_expanded_again() {
        let variables = BTreeMap::from([("A".to_owned(), "${B}".to_owned())]);
        assert_eq!(expand("${A}", &variables).unwrap(), "${B}");
    }

    #[test]
    fn an_unset_variable_is_named_and_the_text_is_not() {
        let error = expanded("s3cret-${NONE}").unwrap_err();
        assert!(error.message().contains("`NONE`") && !error.message().contains("s3cret"), "{error}");
        assert!(expanded("${HOME").is_err());
        assert!(expanded("${}").is_err());
        assert!(expanded("${1A}").is_err());
    }
}

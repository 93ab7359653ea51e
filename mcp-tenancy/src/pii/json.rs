//! JSON: its strings, names and numbers, and nothing else of it.

use std::collections::HashMap;

use mcp_core::{
    Error, Result,
    redact::{PiiKind, PiiSpan},
};
use serde_json::{Map, Value};

use super::secret::is_secret_name;

/// What becomes of one string: its new text and what was replaced; `None` if it stays. The flag says that its
/// name is that of a secret.
pub(super) type Each<'a> = dyn FnMut(&str, bool) -> Result<Option<(String, Vec<PiiSpan>)>> + 'a;

/// A string or number, and what it is.
struct Token {
    start: usize,
    end: usize,
    is_name: bool,
    is_number: bool,
}

/// The text with `each` applied to its strings, names and whole numbers; `None` if nothing changed.
///
/// # Errors
/// `InvalidInput` if it is no JSON, and those of `each`.
pub(super) fn rewrite(json: &str, each: &mut Each<'_>) -> Result<Option<(String, Vec<PiiSpan>)>> {
    serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::invalid_input("pii.redact", format!("the text is no JSON: {place}"))
    })?;
    let (mut out, mut spans, mut kept) = (String::new(), Vec::new(), 0);
    let (mut names, mut secret) = (Names::default(), false);
    let mut at = 0;
    while let Some(token) = next(json.as_bytes(), at) {
        at = token.end;
        let raw = &json[token.start..token.end];
        let is_value_of_secret =
            std::mem::take(&mut secret) && !token.is_number && follows_name(json, token.start);
        let (changed, plain) = if token.is_number {
            (whole(each(raw, false)?, raw), true)
        } else {
            let inner = &raw[1..raw.len() - 1];
            let plain = !inner.contains('\\');
            let text = if plain { inner.to_owned() } else { unescaped(raw)? };
            secret = token.is_name && is_secret_name(&text);
            (each(&text, is_value_of_secret)?, plain)
        };
        let Some((text, found)) = changed else { continue };
        let text = if token.is_name { names.unique(text) } else { text };
        out.push_str(&json[kept..token.start]);
        out.push_str(&Value::String(text).to_string());
        kept = token.end;
        let offset = token.start + usize::from(!token.is_number);
        spans.extend(found.into_iter().map(|span| match plain {
            true => PiiSpan { start: offset + span.start, end: offset + span.end, ..span },
            false => PiiSpan { start: token.start, end: token.end, ..span },
        }));
    }
    if kept == 0 {
        return Ok(None);
    }
    out.push_str(&json[kept..]);
    Ok(Some((out, spans)))
}

/// Applies `each` to the strings, names and whole numbers of a value, and says what was replaced.
///
/// # Errors
/// Those of `each`; the value is then half done.
pub(super) fn rewrite_value(value: &mut Value, each: &mut Each<'_>) -> Result<Vec<PiiKind>> {
    let (mut kinds, mut names) = (Vec::new(), Names::default());
    // A stack of our own: a value may be nested deeper than a thread's stack is.
    let mut waiting = vec![(value, false)];
    while let Some((value, secret)) = waiting.pop() {
        let changed = match &*value {
            Value::String(text) => each(text, secret)?,
            Value::Number(number) => {
                let text = number.to_string();
                whole(each(&text, false)?, &text)
            }
            _ => None,
        };
        if let Some((text, found)) = changed {
            kinds.extend(found.iter().map(|span| span.kind));
            *value = Value::String(text);
        }
        match value {
            Value::Array(values) => waiting.extend(values.iter_mut().map(|value| (value, false))),
            Value::Object(fields) => {
                rename(fields, each, &mut names, &mut kinds)?;
                waiting.extend(fields.iter_mut().map(|(name, value)| (value, is_secret_name(name))));
            }
            _ => {}
        }
    }
    Ok(kinds)
}

fn rename(
    fields: &mut Map<String, Value>,
    each: &mut Each<'_>,
    names: &mut Names,
    kinds: &mut Vec<PiiKind>,
) -> Result<()> {
    let mut renamed: HashMap<String, String> = HashMap::new();
    for name in fields.keys() {
        if let Some((text, found)) = each(name, false)? {
            kinds.extend(found.iter().map(|span| span.kind));
            renamed.insert(name.clone(), names.unique(text));
        }
    }
    if !renamed.is_empty() {
        let old = std::mem::take(fields);
        fields.extend(old.into_iter().map(|(name, value)| match renamed.remove(&name) {
            Some(new) => (new, value),
            None => (name, value),
        }));
    }
    Ok(())
}

/// Names that replaced others: two of a kind must not become one.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    fn unique(&mut self, name: String) -> String {
        let count = self.0.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}_{count}") }
    }
}

/// Only a whole number is replaced; a part of one would leave no number.
fn whole(changed: Option<(String, Vec<PiiSpan>)>, raw: &str) -> Option<(String, Vec<PiiSpan>)> {
    changed.filter(|(_, found)| matches!(&found[..], [one] if (one.start, one.end) == (0, raw.len())))
}

/// The next string or number of a text that is JSON.
fn next(bytes: &[u8], from: usize) -> Option<Token> {
    let start = from
        + bytes[from..].iter().position(|byte| *byte == b'"' || *byte == b'-' || byte.is_ascii_digit())?;
    if bytes[start] != b'"' {
        let in_number =
            |byte: &&u8| byte.is_ascii_digit() || matches!(**byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let end = start + bytes[start..].iter().take_while(in_number).count();
        return Some(Token { start, end, is_name: false, is_number: true });
    }
    let mut end = start + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 2,
            b'"' => break,
            _ => end += 1,
        }
    }
    let end = end + 1;
    let is_name = bytes.get(end..)?.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
    Some(Token { start, end, is_name, is_number: false })
}

/// Whether what begins at `at` is the value of a name, not an entry of a list in it.
fn follows_name(json: &str, at: usize) -> bool {
    json[..at].trim_end_matches([' ', '\t', '\r', '\n']).ends_with(':')
}

fn unescaped(raw: &str) -> Result<String> {
    serde_json::from_str(raw)
        .map_err(|_| Error::invalid_input("pii.redact", "the text holds a malformed string"))
}

//! Keys, tokens and passwords.

use memchr::memmem;

use mcp_core::redact::PiiKind;

use super::{
    scan::{Scan, is_word},
    tables::{KEY_PREFIXES, SECRET_NAMES},
};

/// A value of an assignment is masked to its end, but looked for no further than this.
const LONGEST_VALUE: usize = 4096;
/// What stands between a name and its value, at most.
const LONGEST_GAP: usize = 6;
/// The longest user and password in a URL.
const LONGEST_USER: usize = 512;

pub(super) fn find(scan: &mut Scan<'_>) {
    private_keys(scan);
    users_of_urls(scan);
    words(scan);
}

/// `-----BEGIN … PRIVATE KEY-----` to its end; where the end is missing, all that follows.
fn private_keys(scan: &mut Scan<'_>) {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const KEY: &[u8] = b"PRIVATE KEY-----";
    const END: &[u8] = b"-----END ";
    let mut at = 0;
    while let Some(found) = memmem::find(&scan.bytes[at..], BEGIN) {
        let start = at + found;
        let label = start + BEGIN.len();
        let window = &scan.bytes[label..scan.bytes.len().min(label + 48)];
        scan.step(found + 64);
        at = label;
        if memmem::find(window, KEY).is_none() {
            continue;
        }
        let end = match memmem::find(&scan.bytes[label..], END) {
            None => scan.bytes.len(),
            Some(end) => {
                let from = label + end + END.len();
                let tail = &scan.bytes[from..scan.bytes.len().min(from + 64)];
                memmem::find(tail, b"-----").map_or(from, |dashes| from + dashes + 5)
            }
        };
        scan.step(end - start);
        scan.hit(PiiKind::Secret, start, end);
        at = end;
    }
}

/// `user:password` in `scheme://user:password@host`.
fn users_of_urls(scan: &mut Scan<'_>) {
    let mut at = 0;
    while let Some(found) = memmem::find(&scan.bytes[at..], b"://") {
        let start = at + found + 3;
        let rest = &scan.bytes[start..scan.bytes.len().min(start + LONGEST_USER)];
        let user = rest.iter().take_while(|byte| !b"@/?# \t\r\n\"'<>[]{}\\".contains(byte)).count();
        scan.step(found + user + 4);
        if rest.get(user) == Some(&b'@')
            && rest[..user].iter().position(|byte| *byte == b':').is_some_and(|colon| colon + 1 < user)
        {
            scan.hit(PiiKind::Secret, start, start + user);
        }
        at = start + user;
    }
}

/// Tokens with a known beginning, JSON web tokens, `Bearer …`, and what is assigned to a name like `password`.
fn words(scan: &mut Scan<'_>) {
    let mut at = 0;
    while at < scan.bytes.len() {
        let word = scan.bytes[at..].iter().take_while(|byte| is_word(**byte) || **byte == b'-').count();
        scan.step(word + 1);
        if word == 0 {
            at += 1;
            continue;
        }
        let end = at + word;
        let found = token(scan, at, end)
            .map(|end| (at, end))
            .or_else(|| credentials(scan, at, end))
            .or_else(|| assigned(scan, at, end));
        match found {
            Some((start, stop)) => {
                scan.hit(PiiKind::Secret, start, stop);
                at = stop;
            }
            None => at = end,
        }
    }
}

/// A byte of a token: base64, base64url, and what joins parts of one.
const fn in_token(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'-' | b'.' | b'~' | b'+' | b'/' | b'=')
}

/// Where the token ends that begins with the word from `start` to `end`.
fn token(scan: &mut Scan<'_>, start: usize, end: usize) -> Option<usize> {
    let word = &scan.bytes[start..end];
    // A prefix that ends with a dot is longer than the word before it.
    let begins = |prefix: &str| match prefix.strip_suffix('.') {
        Some(stem) => word == stem.as_bytes() && scan.at(end) == b'.',
        None => word.starts_with(prefix.as_bytes()),
    };
    let known = KEY_PREFIXES.iter().find(|(prefix, _)| begins(prefix));
    let web_token = word.starts_with(b"eyJ") && word.len() >= 10 && scan.at(end) == b'.';
    if known.is_none() && !web_token {
        return None;
    }
    let stop = end_of_token(scan, start);
    match known {
        Some((_, least)) if stop - start >= *least => Some(stop),
        _ => {
            let dots = scan.bytes[start..stop].iter().filter(|byte| **byte == b'.').count();
            (web_token && dots >= 1 && stop - start >= 20).then_some(stop)
        }
    }
}

/// `Bearer x`, `Basic x`, `token x` in the manner of an `Authorization` header.
fn credentials(scan: &mut Scan<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let scheme = &scan.text[start..end];
    let known = ["bearer", "basic", "token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if !known || scan.at(end) != b' ' {
        return None;
    }
    let stop = end_of_token(scan, end + 1);
    let value = scan.text.get(end + 1..stop)?;
    let mixed =
        value.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    (value.len() >= 12 && (mixed || looks_random(value))).then_some((end + 1, stop))
}

/// `name = value`, `name: "value"` and the like, for names of secrets.
fn assigned(scan: &mut Scan<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let name = &scan.text[start..end];
    // A bare `token` is as often a word or a count: there the value must look like one.
    let vague = !is_secret_name(name);
    if vague && !(name.len() <= 64 && name.to_ascii_lowercase().ends_with("token")) {
        return None;
    }
    let gap = &scan.bytes[end..scan.bytes.len().min(end + LONGEST_GAP)];
    let gap = gap.iter().take_while(|byte| b" \t:=\"'\\>".contains(byte)).count();
    let between = &scan.text[end..end + gap];
    scan.step(gap + 1);
    let sign = between.find([':', '='])?;
    let quoted = between.ends_with(['"', '\'']) && between[sign..].contains(['"', '\'']);
    let from = end + gap;
    let rest = &scan.bytes[from..scan.bytes.len().min(from + LONGEST_VALUE)];
    let ends = |byte: &u8| match quoted {
        true => matches!(byte, b'"' | b'\'' | b'\\' | b'\r' | b'\n' | b'['),
        false => byte.is_ascii_whitespace() || b"\"',;&)}]<>[\\".contains(byte),
    };
    let length = rest.iter().take_while(|byte| !ends(byte)).count();
    scan.step(length);
    let mut stop = from + length;
    while !scan.text.is_char_boundary(stop) {
        stop -= 1;
    }
    let value = &scan.text[from..stop];
    if vague && (value.len() < 12 || !looks_random(value)) {
        return None;
    }
    let sure = quoted || between.trim() == "=" || looks_random(value);
    (value.len() >= 4 && sure).then_some((from, stop))
}

fn end_of_token(scan: &mut Scan<'_>, start: usize) -> usize {
    let rest = scan.bytes.get(start..).unwrap_or_default();
    let length = rest.iter().take_while(|byte| in_token(**byte)).count();
    scan.step(length);
    // Behind the end of the text a scan sees blanks.
    let token = scan.text.get(start..start + length).unwrap_or_default();
    start + token.trim_end_matches(['.', '/', '~']).len()
}

/// Whether it is more than a word of a sentence.
fn looks_random(value: &str) -> bool {
    value.bytes().any(|byte| !byte.is_ascii_alphabetic()) && !value.contains("://")
}

/// Whether a value of this name is a secret: `password`, `client_secret`, `X-Api-Key`.
pub(super) fn is_secret_name(name: &str) -> bool {
    if name.len() > 64 || !name.is_ascii() {
        return false;
    }
    let plain: String = name
        .chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    SECRET_NAMES.iter().any(|secret| plain.ends_with(secret)) || plain == "authorization"
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::Secret;

    #[test]
    fn keys_and_tokens_are_found_where_they_stand() {
        let github = format!("ghp_{}", "a1B2".repeat(9));
        let own = format!("mcpk_{}_{}", "0a".repeat(12), "x-Y_".repeat(10));
        let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl-_x";
        for (text, secret) in [
            (format!("token={github}"), github.as_str()),
            (format!("my key is {own}, keep it"), own.as_str()),
            (format!("Authorization: Bearer {jwt}"), jwt),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "AKIAIOSFODNN7EXAMPLE"),
            ("password = hunter2!".to_owned(), "hunter2!"),
            ("{\"client_secret\":\"correct horse\"}".to_owned(), "correct horse"),
            ("DB_PASSWORD='pa ss'; x".to_owned(), "pa ss"),
            ("X-Api-Key: 0123abcd4567".to_owned(), "0123abcd4567"),
            ("postgres://app:s3cret@db/x".to_owned(), "app:s3cret"),
            ("?token=abc123def456&x".to_owned(), "abc123def456"),
            ("Basic dXNlcjpwYXNz".to_owned(), "dXNlcjpwYXNz"),
        ] {
            assert_eq!(found(&text), [(Secret, secret)], "{text}");
        }
    }

    #[test]
    fn a_private_key_goes_as_a_whole_also_without_an_end() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        assert_eq!(found(&format!("a {key} b")), [(Secret, key)]);
        assert_eq!(
            found("-----BEGIN PRIVATE KEY-----\nMIIE"),
            [(Secret, "-----BEGIN PRIVATE KEY-----\nMIIE")]
        );
        assert_eq!(found("-----BEGIN CERTIFICATE-----\nMIIE"), []);
    }

    #[test]
    fn sentences_are_left_alone() {
        for text in [
            "password: required",
            "the password must be long",
            "a bearer certificate",
            "sk-learn",
            "basic considerations",
            "https://example.com:8080/a@b",
            "token count: 5",
            "token",
            "the bearer",
            "Basic",
            "max_tokens=4096",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}

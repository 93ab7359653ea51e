//! E-mail addresses.

use mcp_core::redact::PiiKind;

use super::scan::Scan;

/// Longest local part and domain, in characters (RFC 5321, section 4.5.3.1).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;

pub(super) fn find(scan: &mut Scan<'_>) {
    let text = scan.text;
    for (sign, _) in text.match_indices('@') {
        let local = text[..sign].chars().rev().take(LOCAL).take_while(|letter| in_local(*letter));
        let local: usize = local.map(char::len_utf8).sum();
        let domain = text[sign + 1..].chars().take(DOMAIN).take_while(|letter| in_domain(*letter));
        let domain: usize = domain.map(char::len_utf8).sum();
        scan.step(local + domain + 1);
        let start = sign - text[sign - local..sign].trim_start_matches(['.', '\'', '*', '-']).len();
        let domain = text[sign + 1..sign + 1 + domain].trim_end_matches(['.', '-']);
        if start < sign && is_domain(domain) {
            scan.hit(PiiKind::Email, start, sign + 1 + domain.len());
        }
    }
}

/// What people have in addresses. The standard allows more, but `=` and `{` stand before values more often.
fn in_local(letter: char) -> bool {
    letter.is_alphanumeric() || "!#$%'*+-_~.".contains(letter)
}

fn in_domain(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '-' || letter == '.'
}

/// Two labels at least, of which the last is no number.
fn is_domain(domain: &str) -> bool {
    let Some((rest, top)) = domain.rsplit_once('.') else { return false };
    let named = top.chars().count() >= 2 && top.chars().next().is_some_and(char::is_alphabetic);
    named && rest.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::Email;

    #[test]
    fn addresses_are_found_and_handles_are_not() {
        for (text, address) in [
            ("Write to Ada.Lovelace+math@sub.example.co.uk.", "Ada.Lovelace+math@sub.example.co.uk"),
            ("<mailto:o'neil@example.com>", "o'neil@example.com"),
            ("邮箱：名前@例え.テスト", "名前@例え.テスト"),
            ("('x@example.org',", "x@example.org"),
        ] {
            assert_eq!(found(text), [(Email, address)], "{text}");
        }
        for text in
            ["@rust-lang", "a@b", "x@localhost", "4 @ 5.60 each", "npm i pkg@1.2.3", "a@b..com", "@.", "@"]
        {
            assert_eq!(found(text), [], "{text}");
        }
    }
}

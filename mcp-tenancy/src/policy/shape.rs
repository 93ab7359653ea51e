//! How deep a policy can nest, found out before a parser that recurses sees it.

use std::fmt;

/// Deepest brackets within each other. The parser of Rego tries twice what begins with a bracket, so that each
/// level doubles its time.
const MAX_NESTING_CEDAR: usize = 24;
const MAX_NESTING_REGO: usize = 8;
/// Most operators, dots, brackets and words like `not` that stand in one expression, those around it counted
/// too: each may be one level of the tree that a parser makes. The engine of Rego recurses in larger steps.
const MAX_PARTS_CEDAR: usize = 300;
const MAX_PARTS_REGO: usize = 100;
/// Words that make one expression of what is before and after them.
const WORDS: [&str; 12] =
    ["not", "in", "some", "every", "else", "with", "as", "if", "then", "has", "like", "is"];

/// What differs between the languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Comments after `//`, strings in `"`; lines mean nothing.
    #[cfg(any(feature = "cedar", test))]
    Cedar,
    /// Comments after `#`, strings in `"` and `` ` ``; the end of a line may end an expression.
    #[cfg(any(feature = "rego", test))]
    Rego,
}

/// Why a text is refused, and where: line and column, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: &'static str,
}

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy, line {}, column {}: {}", self.line, self.column, self.what)
    }
}

/// What the last thing before a place was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Something that an operator can follow.
    Operand,
    /// Something that must be followed.
    Operator,
}

struct Scan {
    /// Parts of the expression at each level of brackets.
    parts: Vec<usize>,
    last: Last,
    /// Whether a line has ended since.
    ended: bool,
}

impl Scan {
    /// Something begins that is no operator: after the end of a line, another expression.
    fn operand(&mut self) {
        if std::mem::take(&mut self.ended) && self.last == Last::Operand {
            self.restart();
        }
        self.last = Last::Operand;
    }

    fn operator(&mut self) {
        self.ended = false;
        self.last = Last::Operator;
        if let Some(parts) = self.parts.last_mut() {
            *parts += 1;
        }
    }

    fn restart(&mut self) {
        if let Some(parts) = self.parts.last_mut() {
            *parts = 0;
        }
    }

    fn complaint(&self, syntax: Syntax) -> Option<&'static str> {
        let (nesting, parts) = (self.parts.len() - 1, self.parts.iter().sum::<usize>());
        match syntax.is_cedar() {
            true if nesting > MAX_NESTING_CEDAR => Some("brackets nest deeper than 24 levels"),
            true if parts > MAX_PARTS_CEDAR => Some("the expression has more than 300 parts; split it"),
            false if nesting > MAX_NESTING_REGO => Some("brackets nest deeper than 8 levels"),
            false if parts > MAX_PARTS_REGO => Some("the expression has more than 100 parts; split it"),
            _ => None,
        }
    }
}

/// Looks at brackets and operators outside of strings and comments, in time linear in the text.
pub(super) fn check(syntax: Syntax, text: &str) -> Result<(), TooDeep> {
    let lines = !syntax.is_cedar();
    let mut scan = Scan { parts: vec![0], last: Last::Operand, ended: false };
    let (mut line, mut start, mut before) = (1, 0, ' ');
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let previous = std::mem::replace(&mut before, letter);
        match letter {
            '\n' => (line, start, scan.ended) = (line + 1, at + 1, lines),
            letter if letter.is_whitespace() => {}
            _ if syntax.is_comment(&text[at..]) => {
                while letters.next_if(|(_, next)| *next != '\n').is_some() {}
            }
            letter if letter == '"' || (letter == '`' && lines) => {
                scan.operand();
                while let Some((at, inner)) = letters.next() {
                    match inner {
                        '\\' if letter == '"' => drop(letters.next()),
                        '\n' => (line, start) = (line + 1, at + 1),
                        _ if inner == letter => break,
                        _ => {}
                    }
                }
            }
            letter if letter.is_alphanumeric() || letter == '_' => {
                let mut end = at + letter.len_utf8();
                while let Some((at, next)) =
                    letters.next_if(|(_, next)| next.is_alphanumeric() || *next == '_')
                {
                    end = at + next.len_utf8();
                }
                match WORDS.contains(&&text[at..end]) {
                    true => scan.operator(),
                    false => scan.operand(),
                }
            }
            '(' | '[' | '{' => {
                scan.operator();
                scan.parts.push(0);
            }
            ')' | ']' | '}' => {
                if scan.parts.len() > 1 {
                    scan.parts.pop();
                }
                (scan.last, scan.ended) = (Last::Operand, false);
            }
            ',' | ';' => {
                scan.restart();
                (scan.last, scan.ended) = (Last::Operator, false);
            }
            // The second half of `==`, `&&`, `||`, `::`, `:=`, `<=`, `>=` and `!=`.
            '=' | '&' | '|' | ':' if matches!(previous, '=' | '&' | '|' | ':' | '<' | '>' | '!') => {}
            _ => scan.operator(),
        }
        if let Some(what) = scan.complaint(syntax) {
            return Err(TooDeep { line, column: text[start..at].chars().count() + 1, what });
        }
    }
    Ok(())
}

impl Syntax {
    const fn is_cedar(self) -> bool {
        match self {
            #[cfg(any(feature = "cedar", test))]
            Self::Cedar => true,
            #[cfg(any(feature = "rego", test))]
            Self::Rego => false,
        }
    }

    fn is_comment(self, rest: &str) -> bool {
        rest.starts_with(if self.is_cedar() { "//" } else { "#" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_policies_pass() {
        for text in [
            include_str!("../../policies/by_permission.rego"),
            include_str!("../../tests/data/authz_v0.rego"),
            "package a\n\nallow if {\n  count(input.a.b[_].c) > 1\n  not input.d\n  some x in data.e\n}\n",
        ] {
            assert_eq!(check(Syntax::Rego, &text.repeat(20)), Ok(()));
        }
        for text in
            [include_str!("../../policies/roles.cedar"), include_str!("../../policies/schema.cedarschema")]
        {
            assert_eq!(check(Syntax::Cedar, &text.repeat(20)), Ok(()));
        }
        let wide = format!("package a\nx := [{}1]", "1, ".repeat(5000));
        assert_eq!(check(Syntax::Rego, &wide), Ok(()));
        assert_eq!(
            check(Syntax::Rego, &format!("# {}\nx := \"{}\"", "((".repeat(99), "[+".repeat(999))),
            Ok(())
        );
    }

    #[test]
    fn every_way_to_nest_is_found() {
        for piece in [
            "(",
            "[",
            "{",
            "- ",
            "not ",
            "1 + ",
            "1 +\n",
            "1\n+ ",
            "a in ",
            "a.",
            "a[0]",
            "f(1)",
            "[1 | 1 | ",
            "a | ",
        ] {
            let text = format!("x := {}", piece.repeat(1000));
            assert!(check(Syntax::Rego, &text).is_err(), "{piece:?} passed");
        }
        for piece in ["(", "!", "-", "a && ", "a ||\n", "a\n+ ", "a.b", "if a then b else ", "// )\n("] {
            assert!(check(Syntax::Cedar, &piece.repeat(1000)).is_err(), "{piece:?} passed");
        }
        // Not by ending what is outside, nor by hiding what ends it.
        assert!(check(Syntax::Rego, &"(# )\n".repeat(30)).is_err());
        assert!(check(Syntax::Rego, &"[\")\", ".repeat(30)).is_err());
        let error = check(Syntax::Rego, &format!("package a\nx := {}", "(".repeat(30))).unwrap_err();
        assert_eq!((error.line, error.column), (2, 14));
    }
}

//! Cursors of aggregate lists.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::listing::Kind;

/// Where a page of an aggregate list ended: after this item of this server.
///
/// It holds nothing but names its holder has just been shown, and means nothing but a place in the list of
/// whoever presents it, so it needs neither secret nor signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) kind: Kind,
    pub(super) server: String,
    pub(super) name: String,
}

const LONGEST: usize = 8 * 1024;

impl Cursor {
    pub(super) fn encode(kind: Kind, server: &str, name: &str) -> String {
        URL_SAFE_NO_PAD.encode(["1", kind.member(), server, name].join("\0"))
    }

    /// Reads a cursor; `None` for what [`encode`](Self::encode) never writes.
    pub(super) fn decode(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut fields = text.splitn(4, '\0');
        let version = fields.next()?;
        let member = fields.next()?;
        let kind = [Kind::Tools, Kind::Resources, Kind::Templates, Kind::Prompts]
            .into_iter()
            .find(|kind| kind.member() == member)?;
        let cursor = Self { kind, server: fields.next()?.to_owned(), name: fields.next()?.to_owned() };
        (version == "1").then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back(server in "[A-Za-z0-9_-]{1,32}", name in any::<String>()) {
            let text = Cursor::encode(Kind::Prompts, &server, &name);
            prop_assume!(text.len() <= LONGEST);
            prop_assert_eq!(Cursor::decode(&text), Some(Cursor { kind: Kind::Prompts, server, name }));
        }

        #[test]
        fn anything_else_is_refused_without_a_panic(text in any::<String>()) {
            let _ = Cursor::decode(&text);
            prop_assert_eq!(Cursor::decode(&URL_SAFE_NO_PAD.encode(format!("2\0tools\0a\0{text}"))), None);
        }
    }
}

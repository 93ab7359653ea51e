//! The names under which several servers' items appear in one list.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    config::PrefixMode,
    listing::{Item, Kind, Listing},
};
use crate::protocol::ServerName;

/// One server's part of an aggregate list.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) server: ServerName,
    pub(super) listing: Arc<Listing>,
}

/// An item with the name clients know it by.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) server: &'a ServerName,
    pub(super) item: &'a Item,
    pub(super) name: Cow<'a, str>,
}

/// Several servers' items under the names clients know them by.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// In the operator's order of servers and each server's order of items.
    pub(super) entries: Vec<Entry<'a>>,
    /// Names that more than one server claims. Tools and prompts of such a name are not among the entries,
    /// as calling one would be ambiguous; resources are.
    pub(super) conflicts: BTreeMap<String, Vec<&'a ServerName>>,
}

impl<'a> Names<'a> {
    pub(super) fn of(kind: Kind, mode: PrefixMode, parts: &'a [Part]) -> Self {
        let mut bearers: HashMap<&str, usize> = HashMap::new();
        if mode == PrefixMode::Conflict && kind.is_prefixed() {
            for item in parts.iter().flat_map(|part| &part.listing.items) {
                *bearers.entry(&item.name).or_default() += 1;
            }
        }
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for part in parts {
            entries.extend(part.listing.items.iter().map(|item| {
                let prefix = kind.is_prefixed()
                    && match mode {
                        PrefixMode::Always => true,
                        PrefixMode::Conflict => bearers.get(&*item.name).is_some_and(|count| *count > 1),
                        PrefixMode::Never => false,
                    };
                let name = if prefix {
                    Cow::Owned(prefixed(&part.server, &item.name))
                } else {
                    Cow::Borrowed(&*item.name)
                };
                Entry { server: &part.server, item, name }
            }));
        }
        let mut claims: HashMap<&str, Vec<&'a ServerName>> = HashMap::with_capacity(entries.len());
        for entry in &entries {
            claims.entry(&entry.name).or_default().push(entry.server);
        }
        let conflicts: BTreeMap<String, Vec<&'a ServerName>> = claims
            .into_iter()
            .filter(|(_, servers)| servers.len() > 1)
            .map(|(name, servers)| (name.to_owned(), servers))
            .collect();
        if kind.is_prefixed() && !conflicts.is_empty() {
            entries.retain(|entry| !conflicts.contains_key(&*entry.name));
        }
        Self { entries, conflicts }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// A name with its server's.
pub(super) fn prefixed(server: &ServerName, name: &str) -> String {
    [server.as_str(), ServerName::SEPARATOR, name].concat()
}

/// The part of `name` after the prefix of `server`.
pub(super) fn without_prefix<'n>(server: &ServerName, name: &'n str) -> Option<&'n str> {
    name.strip_prefix(server.as_str())?.strip_prefix(ServerName::SEPARATOR)
}

/// Up to three known names like `unknown`, likest first.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // Comparing costs time, and a caller can ask for unknown names as often as it likes.
    let mut known: Vec<&str> = known.take(2_000).collect();
    // The likeliest slip is to leave the prefix out.
    let is_tail =
        |name: &str| name.split_once(ServerName::SEPARATOR).is_some_and(|(_, tail)| tail == unknown);
    let mut found: Vec<&str> = known.iter().copied().filter(|name| is_tail(name)).take(3).collect();
    known.retain(|name| !is_tail(name));
    while let Some(name) =
        mcp_core::strict::nearest(unknown, known.iter().copied()).filter(|_| found.len() < 3)
    {
        known.retain(|other| *other != name);
        found.push(name);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_only_where_it_is_whole() {
        let server = ServerName::parse("time").unwrap();
        assert_eq!(without_prefix(&server, "time__now"), Some("now"));
        assert_eq!(without_prefix(&server, "time__a__b"), Some("a__b"));
        assert_eq!(without_prefix(&server, "time_now"), None);
        assert_eq!(without_prefix(&server, "times__now"), None);
        assert_eq!(prefixed(&server, "now"), "time__now");
    }

    #[test]
    fn the_likest_names_come_first() {
        let known = ["a__echo", "a__eco", "b__sum", "zzzzzzzzz"];
        assert_eq!(nearest("a__echoo", known.into_iter())[0], "a__echo");
        assert!(nearest("qqqqqqqqqqqqqqqqq", known.into_iter()).is_empty());
    }
}

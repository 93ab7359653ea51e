//! What one server lists of one kind.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mcp_core::{Error, Result, Scope, clock::Timestamp, error::Detail};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use super::splice;
use crate::{
    jsonrpc::code,
    upstream::{Deaf, Notice, Reply, Upstream},
};

/// A server with more pages than this is not read to the end but refused.
const MAX_PAGES: usize = 1_000;

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Tools,
    Resources,
    Templates,
    Prompts,
}

impl Kind {
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
            Self::Prompts => "prompts/list",
        }
    }

    /// The member of the result that holds the items.
    pub(super) const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// What one item is called in messages.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Resources => "resource",
            Self::Templates => "resource template",
            Self::Prompts => "prompt",
        }
    }

    /// The capability a server declares that has such a list.
    pub(super) const fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources | Self::Templates => "resources",
            Self::Prompts => "prompts",
        }
    }

    /// Whether names of several servers are told apart by a prefix; URIs pass unchanged.
    pub(super) const fn is_prefixed(self) -> bool {
        matches!(self, Self::Tools | Self::Prompts)
    }

    fn is_changed_by(self, method: &str) -> bool {
        method.strip_prefix("notifications/").and_then(|rest| rest.strip_suffix("/list_changed"))
            == Some(self.capability())
    }
}

/// One item as the server wrote it.
#[derive(Debug)]
pub(super) struct Item {
    raw: Box<str>,
    /// Its name or URI, unescaped.
    pub(super) name: Box<str>,
    /// Where the name stands in `raw`, with its quotes.
    span: Range<usize>,
}

impl Item {
    fn parse(kind: Kind, raw: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Named<'a> {
            #[serde(borrow)]
            name: Option<&'a RawValue>,
            #[serde(borrow)]
            uri: Option<&'a RawValue>,
            #[serde(borrow)]
            uri_template: Option<&'a RawValue>,
        }
        let named: Named<'_> = serde_json::from_str(raw.get()).ok()?;
        let key = match kind {
            Kind::Tools | Kind::Prompts => named.name,
            Kind::Resources => named.uri,
            Kind::Templates => named.uri_template,
        }?;
        let name: String = serde_json::from_str(key.get()).ok()?;
        Some(Self { name: name.into(), span: splice::span(raw.get(), key.get()), raw: raw.get().into() })
    }

    /// The item under another name; every other byte as the server wrote it.
    pub(super) fn write_as(&self, name: &str, out: &mut String) {
        if name == &*self.name {
            out.push_str(&self.raw);
        } else {
            out.push_str(&self.raw[..self.span.start]);
            out.push_str(&splice::quoted(name));
            out.push_str(&self.raw[self.span.end..]);
        }
    }
}

/// One server's items of one kind, read to the last page.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) items: Vec<Item>,
    fetched_at: Timestamp,
    /// The connection it came by; another connection may be another release with other items.
    upstream: Weak<dyn Upstream>,
    notices: Mutex<broadcast::Receiver<Notice>>,
    /// Set once a notice said so; a notice is read only once.
    changed: AtomicBool,
}

impl Listing {
    /// Asks the server, page by page. A server that does not declare the kind has none of it.
    ///
    /// # Errors
    /// As [`Upstream::call`]; also when there are more than `max` items.
    pub(super) async fn fetch(
        scope: &Scope,
        upstream: &Arc<dyn Upstream>,
        kind: Kind,
        max: usize,
        now: Timestamp,
    ) -> Result<Self> {
        // Subscribed before the first page, so that no change in between is missed.
        let mut listing = Self {
            items: Vec::new(),
            fetched_at: now,
            upstream: Arc::downgrade(upstream),
            notices: Mutex::new(upstream.notices()),
            changed: AtomicBool::new(false),
        };
        if upstream.info().capabilities.get(kind.capability()).is_none() {
            return Ok(listing);
        }
        let mut cursor: Option<String> = None;
        let mut seen = HashSet::new();
        for _ in 0..MAX_PAGES {
            let params =
                cursor.map(|cursor| splice::raw(format!("{{\"cursor\":{}}}", splice::quoted(&cursor))));
            let page = match upstream.call(scope, kind.method(), params.as_deref(), &Deaf).await? {
                Reply::Result(page) => page,
                Reply::Error(error) if error_code(&error) == Some(code::METHOD_NOT_FOUND) => {
                    return Ok(listing);
                }
                Reply::Error(error) => return Err(refused(upstream, kind, &error)),
            };
            cursor = listing.take_page(upstream, kind, &page, &mut seen)?;
            if listing.items.len() > max {
                return Err(broken(upstream, format!("lists more than {max} {}s", kind.noun())));
            }
            if cursor.is_none() {
                return Ok(listing);
            }
        }
        Err(broken(upstream, format!("lists its {}s on more than {MAX_PAGES} pages", kind.noun())))
    }

    fn take_page(
        &mut self,
        upstream: &Arc<dyn Upstream>,
        kind: Kind,
        page: &RawValue,
        seen: &mut HashSet<Box<str>>,
    ) -> Result<Option<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            #[serde(borrow)]
            tools: Option<Vec<&'a RawValue>>,
            #[serde(borrow)]
            resources: Option<Vec<&'a RawValue>>,
            #[serde(borrow)]
            resource_templates: Option<Vec<&'a RawValue>>,
            #[serde(borrow)]
            prompts: Option<Vec<&'a RawValue>>,
            next_cursor: Option<String>,
        }
        let page: Page<'_> = serde_json::from_str(page.get()).map_err(|error| {
            broken(upstream, format!("answered `{}` with something else", kind.method())).with_source(error)
        })?;
        let items = match kind {
            Kind::Tools => page.tools,
            Kind::Resources => page.resources,
            Kind::Templates => page.resource_templates,
            Kind::Prompts => page.prompts,
        };
        for raw in items.unwrap_or_default() {
            match Item::parse(kind, raw) {
                Some(item) if seen.insert(item.name.clone()) => self.items.push(item),
                Some(item) => tracing::warn!(server = %upstream.name(), name = %item.name, "listed twice"),
                None => {
                    tracing::warn!(server = %upstream.name(), kind = kind.noun(), "listed without a name")
                }
            }
        }
        Ok(page.next_cursor)
    }

    /// Whether the server must be asked again.
    pub(super) fn is_stale(
        &self,
        kind: Kind,
        upstream: &Arc<dyn Upstream>,
        now: Timestamp,
        ttl: Duration,
    ) -> bool {
        if now.since(self.fetched_at) >= ttl
            || !std::ptr::addr_eq(self.upstream.as_ptr(), Arc::as_ptr(upstream))
        {
            return true;
        }
        if self.changed.load(Ordering::Acquire) {
            return true;
        }
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match notices.try_recv() {
                Ok(notice) if !kind.is_changed_by(&notice.method) => {}
                Err(broadcast::error::TryRecvError::Empty) => return false,
                // Changed, fallen behind, or closed.
                _ => {
                    self.changed.store(true, Ordering::Release);
                    return true;
                }
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| &*item.name == name)
    }

    /// Bytes it takes in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        self.items.iter().map(|item| item.raw.len() + item.name.len() + size_of::<Item>()).sum::<usize>()
            + 512
    }
}

/// The `code` of an error object.
pub(super) fn error_code(error: &RawValue) -> Option<i64> {
    #[derive(Deserialize)]
    struct Coded {
        code: i64,
    }
    serde_json::from_str::<Coded>(error.get()).ok().map(|coded| coded.code)
}

fn broken(upstream: &Arc<dyn Upstream>, what: String) -> Error {
    let name = upstream.name();
    Error::upstream("gateway.list", format!("the server `{name}` {what}"))
        .with_detail(Detail::Server { name: name.to_string() })
}

fn refused(upstream: &Arc<dyn Upstream>, kind: Kind, error: &RawValue) -> Error {
    let code = error_code(error).unwrap_or_default();
    broken(upstream, format!("refused `{}` with the code {code}", kind.method()))
        .with_context("answer", error.get().chars().take(500).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, text: &str) -> Option<Item> {
        Item::parse(kind, &RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn only_the_name_is_rewritten() {
        let text = "{ \"x-unknown\" : 1.0e0, \"name\" : \"\\u0065cho\", \"title\":\"name\" }";
        let item = item(Kind::Tools, text).unwrap();
        assert_eq!(&*item.name, "echo");
        let mut out = String::new();
        item.write_as("all__echo", &mut out);
        assert_eq!(out, text.replace("\"\\u0065cho\"", "\"all__echo\""));
        let mut same = String::new();
        item.write_as("echo", &mut same);
        assert_eq!(same, text);
    }

    #[test]
    fn an_item_needs_one_name_of_its_kind() {
        assert!(item(Kind::Resources, r#"{"name":"a"}"#).is_none());
        assert!(item(Kind::Tools, r#"{"name":7}"#).is_none());
        assert!(item(Kind::Tools, r#"{"name":"a","name":"b"}"#).is_none());
        assert!(item(Kind::Tools, "[]").is_none());
    }

    #[test]
    fn a_change_of_another_kind_is_none_of_this() {
        assert!(Kind::Tools.is_changed_by("notifications/tools/list_changed"));
        assert!(Kind::Templates.is_changed_by("notifications/resources/list_changed"));
        assert!(!Kind::Tools.is_changed_by("notifications/prompts/list_changed"));
        assert!(!Kind::Tools.is_changed_by("notifications/message"));
    }
}

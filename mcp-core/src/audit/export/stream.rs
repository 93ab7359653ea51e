//! Reading a chain from a place on, a page at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::{
    line::{checkpoint_line, link_line},
    ocsf::{Product, ocsf},
    syslog::{SyslogFormat, frame},
};
use crate::{
    audit::{AuditStore, Chain, Checkpoint, SealedEntry, list::reading_its_own},
    error::{Error, Result},
    scope::{PlatformScope, Scope},
};

/// The most links on one page of an export: with records of the largest size, some 10 MiB.
pub const MAX_EXPORT_PAGE: u32 = 500;

/// Reads what has been sealed of one chain.
///
/// It ends at what was the last link when it began, so that it ends while the chain grows.
#[derive(Debug)]
pub struct Export {
    store: Arc<dyn AuditStore>,
    scope: PlatformScope,
    chain: Chain,
    after: i64,
    page: u32,
    head: Option<i64>,
}

/// Links, and the checkpoints that are signed for them.
#[derive(Debug, Clone)]
pub struct ExportPage {
    /// Which chain's.
    pub chain: Chain,
    /// The links, in their order; at least one.
    pub links: Vec<SealedEntry>,
    /// The checkpoints of these links, in their order.
    pub checkpoints: Vec<Checkpoint>,
    /// The number of the last link: where the next page goes on.
    pub last: i64,
}

/// How an export is written.
#[derive(Debug, Clone)]
pub enum Format {
    /// A JSON object a line, links and checkpoints: what [`ExportVerifier`](super::ExportVerifier) reads.
    JsonLines,
    /// An event of the Open Cybersecurity Schema a line, for records alone; it cannot be verified.
    Ocsf(Product),
    /// Syslog messages of RFC 5424, framed as in RFC 5425, each with the JSON line in it.
    Syslog(SyslogFormat),
}

impl Export {
    /// The chain behind the link `after`: 0 for all of it, or where an earlier export came to.
    #[must_use]
    pub fn new(store: Arc<dyn AuditStore>, scope: PlatformScope, chain: Chain, after: i64) -> Self {
        Self { store, scope, chain, after, page: 200, head: None }
    }

    /// The chain of the scope's tenant. The principal needs the permission `audit:read`.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied).
    pub fn of_tenant(store: Arc<dyn AuditStore>, scope: &Scope, after: i64) -> Result<Self> {
        scope.require("audit:read")?;
        Ok(Self::new(store, reading_its_own(scope), Chain::Tenant(scope.tenant().clone()), after))
    }

    /// Links on a page, 1 to [`MAX_EXPORT_PAGE`]. Default 200.
    #[must_use]
    pub fn with_page(mut self, links: u32) -> Self {
        self.page = links.clamp(1, MAX_EXPORT_PAGE);
        self
    }

    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no place;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a place behind the end of the chain, from which
    /// records would be missed once it has grown; those of the store.
    ///
    /// # Cancellation
    /// The next call reads the same page.
    pub async fn next(&mut self) -> Result<Option<ExportPage>> {
        let head = match self.head {
            Some(head) => head,
            None => self.store.head(&self.scope, &self.chain).await?.seq,
        };
        self.head = Some(head);
        if self.after > head {
            let message = format!(
                "the chain has {head} links and cannot go on behind link {}; if an older backup was restored, \
                 begin again behind a link that it has",
                self.after
            );
            return Err(Error::invalid_input("audit.export", message).with_context("chain", &self.chain));
        }
        if self.after == head {
            return Ok(None);
        }
        let mut links = self.store.sealed(&self.scope, &self.chain, self.after, self.page).await?;
        links.retain(|link| link.seal.seq <= head);
        let Some(last) = links.last().map(|link| link.seal.seq) else { return Ok(None) };
        // There are at most as many as links.
        let mut checkpoints = self.store.checkpoints(&self.scope, &self.chain, self.after, self.page).await?;
        checkpoints.retain(|checkpoint| checkpoint.seq <= last);
        self.after = last;
        Ok(Some(ExportPage { chain: self.chain.clone(), links, checkpoints, last }))
    }
}

impl ExportPage {
    /// The page in one of the formats, with line ends or frames.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if a record has no such form.
    pub fn render(&self, format: &Format) -> Result<String> {
        match format {
            Format::JsonLines => self.json_lines(),
            Format::Syslog(format) => Ok(self.syslog(format)?.iter().map(|message| frame(message)).collect()),
            Format::Ocsf(product) => {
                let events = self.links.iter().filter_map(|link| ocsf(&self.chain, link, product));
                Ok(events.map(|event| event.to_string() + "\n").collect())
            }
        }
    }

    /// The page as JSON lines: each checkpoint stands behind the link that it signs.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn json_lines(&self) -> Result<String> {
        self.each(|link| link_line(&self.chain, link, true), checkpoint_line)
            .map(|line| line.map(|line| line + "\n"))
            .collect()
    }

    /// The page as syslog messages, without frames.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn syslog(&self, format: &SyslogFormat) -> Result<Vec<String>> {
        self.each(|link| format.link(&self.chain, link), |checkpoint| format.checkpoint(checkpoint)).collect()
    }

    /// What `link` and `signed` make of each, in the order of the chain.
    fn each<'a>(
        &'a self,
        link: impl Fn(&'a SealedEntry) -> Result<String> + 'a,
        signed: impl Fn(&'a Checkpoint) -> Result<String> + 'a,
    ) -> impl Iterator<Item = Result<String>> + 'a {
        let mut checkpoints = self.checkpoints.iter().peekable();
        let mut links = self.links.iter().peekable();
        std::iter::from_fn(move || {
            let next = links.peek().map_or(i64::MAX, |link| link.seal.seq);
            match checkpoints.next_if(|checkpoint| checkpoint.seq < next) {
                Some(checkpoint) => Some(signed(checkpoint)),
                None => links.next().map(&link),
            }
        })
    }
}

/// An export as a stream of bytes, a page an item, as a response's body takes it: nothing is read before it
/// is asked for.
pub fn lines(export: Export, format: Format) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold((export, format), |(mut export, format)| async move {
        match export.next().await? {
            None => Ok(None),
            Some(page) => Ok(Some((Bytes::from(page.render(&format)?), (export, format)))),
        }
    })
}

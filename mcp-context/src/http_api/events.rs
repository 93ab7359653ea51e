//! `/api/v1/events`: the tenant's published events, as pages or as a stream.
//!
//! An event's position is its cursor and, in a stream, its id, so that a reader that comes again with
//! `Last-Event-ID` goes on where it was.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use mcp_core::{
    Error, Scope,
    error::Detail,
    event::{EventFeed, FeedItem},
    http_api::{ApiError, Json, Query, require},
    scope::TenantId,
};
use serde::Deserialize;
use tokio::{sync::broadcast, time::Instant};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::{
    Api,
    contexts::{fifty, page_limit},
    headers::text,
    streams::Place,
};
use crate::Page;

/// How often a stream looks for events that nobody hinted at: those another replica published.
const LOOK: Duration = Duration::from_secs(1);
/// How often a stream without events says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// Events read at once by a stream.
const BATCH: u32 = 50;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Position of the last event seen.
    cursor: Option<String>,
    /// How many at most.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
}

/// Events behind the cursor; needs `events:read`. Where `Accept` asks for `text/event-stream` they go on as
/// they happen, from the cursor or `Last-Event-ID`; with neither, from now on.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    params(Listing, ("last-event-id" = Option<String>, Header,
        description = "Position of the last event that a stream gave.")),
    responses((status = 200, description = "A page, or a stream whose ids are positions.", content(
        (Page<FeedItem> = "application/json"), (String = "text/event-stream"),
    ))),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    headers: HeaderMap,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    require(&*api.deps.denials, &scope, "events:read", "events")?;
    let cursor = listing.cursor.as_deref().map(|text| position("cursor", text)).transpose()?;
    let accept = text(&headers, header::ACCEPT.as_str())?.unwrap_or_default();
    if wants_stream(accept) {
        let last =
            text(&headers, "last-event-id")?.map(|text| position("last-event-id", text)).transpose()?;
        return stream(&api, scope, last.or(cursor)).await;
    }
    let limit = page_limit(listing.limit)?;
    // One more would be more than a page of the feed holds where the limit is the largest.
    let items = api.deps.feed.after(&scope, cursor.unwrap_or(0), limit).await?;
    let full = items.len() == limit as usize;
    let next_cursor = items.last().filter(|_| full).map(|last| last.position.to_string());
    Ok(Json(Page { items, next_cursor }).into_response())
}

/// Whichever form is named first.
fn wants_stream(accept: &str) -> bool {
    let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let mut known = kinds.filter(|kind| matches!(*kind, "text/event-stream" | "application/json" | "*/*"));
    known.next() == Some("text/event-stream")
}

fn position(path: &'static str, text: &str) -> Result<i64, Error> {
    text.parse::<i64>().ok().filter(|position| *position >= 0).ok_or_else(|| {
        Error::invalid_input("events.cursor", format!("`{path}` is not the position of an event"))
            .with_detail(Detail::Field { path: path.to_owned(), nearest: None })
    })
}

async fn stream(api: &Api, scope: Scope, from: Option<i64>) -> Result<Response, ApiError> {
    let place = api.streams.take(scope.tenant())?;
    // Before the newest position is asked for, so that nothing falls in between.
    let hints = api.deps.hints.subscribe();
    let position = match from {
        Some(position) => position,
        None => api.deps.feed.newest(&scope).await?,
    };
    let follower = Follower {
        feed: api.deps.feed.clone(),
        hints,
        // The request's deadline is for its beginning; a stream outlives it.
        scope: Scope::new(scope.tenant().clone(), Arc::new(scope.principal().clone()))
            .with_request_id(scope.request_id().clone()),
        position,
        ready: VecDeque::new(),
        spoke: Instant::now(),
        stop: api.deps.stop.clone(),
        greeted: false,
        _place: place,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let bytes = follower.next().await?;
        Some((Ok::<_, Infallible>(bytes), follower))
    });
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((head, Body::from_stream(events)).into_response())
}

/// One reader of a tenant's stream.
#[derive(Debug)]
struct Follower {
    feed: Arc<dyn EventFeed>,
    hints: broadcast::Receiver<TenantId>,
    scope: Scope,
    position: i64,
    ready: VecDeque<FeedItem>,
    spoke: Instant,
    stop: CancellationToken,
    greeted: bool,
    _place: Place,
}

impl Follower {
    /// The next bytes of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            // Some proxies hold a response back until its body begins.
            return Some(Bytes::from_static(b": open\n\n"));
        }
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.wait()).await.flatten()
    }

    async fn wait(&mut self) -> Option<Bytes> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.spoke = Instant::now();
                self.position = item.position;
                let data = serde_json::to_string(&item.event).ok()?;
                return Some(
                    format!("id: {}\nevent: {}\ndata: {data}\n\n", item.position, item.event.kind()).into(),
                );
            }
            match self.feed.after(&self.scope, self.position, BATCH).await {
                Ok(items) => self.ready.extend(items),
                Err(error) => {
                    // The reader comes again, with the last id it has seen.
                    tracing::warn!(tenant = %self.scope.tenant(), error = error.report(), "an event stream ends");
                    return None;
                }
            }
            if self.ready.is_empty() {
                if self.spoke.elapsed() >= ALIVE {
                    self.spoke = Instant::now();
                    return Some(Bytes::from_static(b": alive\n\n"));
                }
                self.hint().await;
            }
        }
    }

    /// Waits until there may be something, or for [`LOOK`].
    async fn hint(&mut self) {
        let mine = async {
            // Whoever missed hints looks.
            while let Ok(tenant) = self.hints.recv().await {
                if tenant == *self.scope.tenant() {
                    break;
                }
            }
        };
        // Without a sender there are no hints, and waiting must not become a busy loop.
        let until = Instant::now() + LOOK;
        if tokio::time::timeout_at(until, mine).await.is_ok() && self.hints.is_closed() {
            tokio::time::sleep_until(until).await;
        }
    }
}

//! The stream on which a stateless server sends its notices.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;

use super::{Inner, conversation::Conversation, wire};
use crate::upstream::{Downstream, Reply, handshake, message};

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_secs(30);

/// Subscribes with `params`, again whenever the stream breaks, until the connection is closed or the server
/// answers, which ends the subscription.
pub(super) async fn keep(inner: Arc<Inner>, params: String) {
    let mut pause = Duration::from_millis(500);
    loop {
        let ended = tokio::select! {
            biased;
            () = inner.closed.cancelled() => return,
            ended = listen(&inner, &params) => ended,
        };
        if let Ok(reply) = ended {
            tracing::debug!(server = %inner.server, ?reply, "the server ended the subscription");
            return;
        }
        tokio::select! {
            biased;
            () = inner.closed.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE),
        }
    }
}

async fn listen(inner: &Inner, params: &str) -> Result<Reply> {
    let id = inner.next_id.fetch_add(1, Ordering::Relaxed);
    let method = "subscriptions/listen";
    let mut request = inner.endpoint.post(message::request(id, method, Some(params)));
    inner.guest().put_headers(request.headers_mut());
    wire::put_routing(request.headers_mut(), method, Some(params));
    let response = inner.send(request).await?;
    Conversation { inner, id, token: None, downstream: &Publisher(inner) }.read(response).await
}

/// Makes notices of what comes.
struct Publisher<'a>(&'a Inner);

#[async_trait]
impl Downstream for Publisher<'_> {
    async fn notify(&self, method: &str, params: Option<&RawValue>) {
        if !handshake::is_about_subscription(method) {
            self.0.publish(method, params);
        }
    }

    async fn request(&self, method: &str, _params: Option<&RawValue>) -> Result<Reply> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "upstream.subscription",
            format!("`{method}` belongs to no call"),
        ))
    }
}

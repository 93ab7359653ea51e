//! A response body that ends when its tenant may no longer be used.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use mcp_core::Error;
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::BoxError;

pin_project! {
    /// The body behind [`TenantLayer`](super::TenantLayer): passes every frame on at once, and fails as soon
    /// as the tenant is closed, also where the body itself has nothing to say.
    ///
    /// A body of known size was whole before the tenant was closed: it is let through, so that its caller
    /// does not meet a broken connection in place of an answer.
    #[derive(Debug)]
    pub struct StreamGuard<B> {
        #[pin]
        body: B,
        // Boxed so that the guard is `Unpin` where its body is.
        closed: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        ended: bool,
    }
}

impl<B: Body> StreamGuard<B> {
    pub(super) fn new(body: B, closed: CancellationToken) -> Self {
        let streams = body.size_hint().exact().is_none();
        Self { body, closed: streams.then(|| Box::pin(closed.cancelled_owned())), ended: false }
    }
}

impl<B> Body for StreamGuard<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        if this.closed.as_mut().is_some_and(|closed| closed.as_mut().poll(cx).is_ready()) {
            *this.ended = true;
            metrics::counter!("mcp_streams_cut_total").increment(1);
            let error = Error::permission_denied("tenant.stream", "the tenant can no longer be used");
            return Poll::Ready(Some(Err(error.into())));
        }
        let frame = ready!(this.body.poll_frame(cx));
        *this.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

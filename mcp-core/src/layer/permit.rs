//! A body that holds a permit until it has been sent or dropped, unless it is an event stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;

pin_project! {
    /// Keeps a request counted while its response is being sent, however slowly it is read.
    ///
    /// An event stream gives its place back when it begins: it may be open for hours and computes nothing,
    /// and a few clients who listen must not keep all others out. Whoever serves streams bounds their number.
    ///
    /// `P` is whatever frees the place when it is dropped.
    #[derive(Debug)]
    pub struct PermitBody<B, P = OwnedSemaphorePermit> {
        #[pin]
        inner: B,
        permit: Option<P>,
    }
}

impl<B, P> PermitBody<B, P> {
    /// Ties `permit` to the body of `response`, unless that is an event stream.
    pub fn tie(response: Response<B>, permit: P) -> Response<Self> {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let streams = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let permit = Some(permit).filter(|_| !streams);
        response.map(|inner| Self { inner, permit })
    }
}

impl<B: Body, P> Body for PermitBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let frame = this.inner.poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            this.permit.take();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

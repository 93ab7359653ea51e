//! Bodies in and out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use mcp_core::{Error, ErrorKind, Result, error::Detail};
use tokio::sync::mpsc;

/// The body of the gateway's responses: one block of bytes, or a stream of events.
///
/// Dropping it cancels the call behind it.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Block(Option<Bytes>),
    Stream { chunks: mpsc::Receiver<Bytes>, _until_dropped: Box<dyn Guard> },
}

/// What lives as long as a stream.
pub(super) trait Guard: Send + std::fmt::Debug {}
impl<T: Send + std::fmt::Debug> Guard for T {}

impl Body {
    pub(super) fn empty() -> Self {
        Self(Kind::Block(None))
    }

    pub(super) fn block(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Block(Some(bytes.into())))
    }

    /// What is sent to `chunks`, until the sender is dropped; `guard` is dropped with the body.
    pub(super) fn stream(chunks: mpsc::Receiver<Bytes>, guard: impl Guard + 'static) -> Self {
        Self(Kind::Stream { chunks, _until_dropped: Box::new(guard) })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Kind::Block(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream { chunks, .. } => chunks.poll_recv(cx).map(|bytes| Some(Ok(Frame::data(bytes?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Block(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Block(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream { .. } => SizeHint::default(),
        }
    }
}

/// Reads a request's body of at most `limit` bytes.
///
/// # Errors
/// [`TooLarge`](ErrorKind::TooLarge), [`InvalidInput`](ErrorKind::InvalidInput) when the client stops halfway.
pub(super) async fn read<B>(body: B, limit: usize) -> Result<Bytes>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut over = body.size_hint().lower() > limit as u64;
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while !over {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| {
            Error::invalid_input("gateway.body", "the body ended before it was complete").with_source(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let (chunk, so_far) = (bytes::Buf::remaining(&data), first.len() + rest.len());
        if chunk > limit - so_far {
            over = true;
            continue;
        }
        let mut data = data;
        let bytes = bytes::Buf::copy_to_bytes(&mut data, chunk);
        if so_far == 0 {
            // Most bodies come in one piece, which is then not copied.
            first = bytes;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&bytes);
        }
    }
    if over {
        return Err(too_large(body, limit).await);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The refusal of a body that does not come in time.
pub(super) fn too_slow() -> Error {
    let text = "the body did not arrive within the time for one call; send it faster or send less";
    Error::new(ErrorKind::DeadlineExceeded, "gateway.body", text)
}

/// The refusal of a body over the limit, after as much again of it has been thrown away: a client that is
/// still writing when the answer comes sees a broken connection instead of the answer.
async fn too_large<B: http_body::Body>(mut body: Pin<&mut B>, limit: usize) -> Error {
    let mut left = limit;
    while let Some(Ok(frame)) = body.frame().await {
        let size = frame.data_ref().map_or(0, bytes::Buf::remaining);
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    Error::new(ErrorKind::TooLarge, "gateway.body", format!("the body is larger than {limit} bytes"))
        .with_detail(Detail::Limit { bytes: limit as u64 })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn pieces(parts: &[&'static str]) -> impl http_body::Body<Data = Bytes, Error = Infallible> + use<> {
        let frames: Vec<_> =
            parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        assert_eq!(read(pieces(&["ab", "", "c", "def"]), 6).await.unwrap(), "abcdef");
        assert_eq!(read(pieces(&["", "ab"]), 6).await.unwrap(), "ab");
        assert_eq!(read(pieces(&[]), 6).await.unwrap(), "");
    }

    #[tokio::test]
    async fn one_byte_over_the_limit_is_refused_announced_or_not() {
        let announced = read(Full::new(Bytes::from_static(b"abcdefg")), 6).await.unwrap_err();
        let streamed = read(pieces(&["abc", "def", "g"]), 6).await.unwrap_err();
        for error in [announced, streamed] {
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            assert_eq!(error.details(), [Detail::Limit { bytes: 6 }]);
        }
    }
}

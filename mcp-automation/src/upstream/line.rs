//! Lines of bounded length from a byte stream that may be hostile.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much of a line that is too long is kept, to find out whom it was for.
const HEAD: usize = 256;

/// What the stream holds next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its end, never empty.
    Whole(Bytes),
    /// A line over the limit: its first bytes. The rest was read and dropped.
    TooLong(Bytes),
}

/// Splits a stream into lines. Memory is bounded by the limit, however long a line is.
pub(crate) struct Lines<R> {
    stream: R,
    buffer: BytesMut,
    /// How far `buffer` has been searched for a line's end.
    searched: usize,
    /// The head of the line that is being dropped.
    dropping: Option<Bytes>,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(stream: R, limit: usize) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(8 * 1024), searched: 0, dropping: None, limit }
    }

    /// The next line, or `None` at the end of the stream. An unfinished last line is not a line.
    ///
    /// # Cancellation
    /// Safe: what was read stays for the next call.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            self.drop_excess();
            self.buffer.reserve(8 * 1024);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn take_line(&mut self) -> Option<Line> {
        while let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            let mut line = self.buffer.split_to(self.searched + at);
            self.buffer.advance(1);
            self.searched = 0;
            if let Some(head) = self.dropping.take() {
                return Some(Line::TooLong(head));
            }
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if line.len() > self.limit {
                line.truncate(HEAD);
                return Some(Line::TooLong(line.freeze()));
            }
            if !line.is_empty() {
                return Some(Line::Whole(line.freeze()));
            }
        }
        self.searched = self.buffer.len();
        None
    }

    fn drop_excess(&mut self) {
        if self.dropping.is_none() && self.buffer.len() > self.limit {
            self.dropping = Some(Bytes::copy_from_slice(&self.buffer[..HEAD.min(self.buffer.len())]));
            // A buffer that has grown to the limit is given back, not kept for the next short line.
            self.buffer = BytesMut::with_capacity(8 * 1024);
            self.searched = 0;
        }
        if self.dropping.is_some() {
            self.buffer.clear();
            self.searched = 0;
        }
    }
}

/// The id near the start of a message that cannot be read as a whole.
pub(crate) fn id_in(head: &[u8]) -> Option<u64> {
    let head = &head[..head.len().min(256)];
    let at = memchr::memmem::find(head, b"\"id\"")?;
    let rest = head[at + 4..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(chunks: Vec<Vec<u8>>, limit: usize) -> Vec<Line> {
        let stream = futures_util::stream::iter(
            chunks.into_iter().map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk))),
        );
        let mut lines = Lines::new(tokio_util::io::StreamReader::new(stream), limit);
        let mut out = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            out.push(line);
        }
        out
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn splits_at_line_ends_and_skips_empty_lines() {
        let got = all(vec![b"a\r\n\n".to_vec(), b"b".to_vec(), b"c\nunfinished".to_vec()], 100).await;
        assert_eq!(got, [whole("a"), whole("bc")]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_dropped_and_the_next_one_read() {
        let chunks = vec![vec![b'x'; 5000], vec![b'x'; 5000], b"\nnext\n".to_vec()];
        let got = all(chunks, 1000).await;
        assert_eq!(got, [Line::TooLong(Bytes::from(vec![b'x'; HEAD])), whole("next")]);
    }

    #[tokio::test]
    async fn an_endless_line_takes_no_more_memory_than_the_limit() {
        let mut lines = Lines::new(tokio::io::repeat(b'x').take(64 << 20), 1 << 20);
        assert_eq!(lines.next().await.unwrap(), None);
        assert!(lines.buffer.capacity() <= 2 << 20, "{}", lines.buffer.capacity());
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_does_not_matter(text in "[ab\n]{0,200}", cut in 1usize..20) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let chunks = text.as_bytes().chunks(cut).map(<[u8]>::to_vec).collect();
            let got = runtime.block_on(all(chunks, 8));
            let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let wanted: Vec<_> = complete.split('\n').filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(got.len(), wanted.len());
            for (line, wanted) in got.iter().zip(wanted) {
                match line {
                    Line::Whole(bytes) => prop_assert_eq!(bytes, wanted.as_bytes()),
                    Line::TooLong(head) => prop_assert!(wanted.len() > 8 && wanted.as_bytes().starts_with(head)),
                }
            }
        }
    }
}

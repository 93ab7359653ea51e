//! Server-sent events, parsed as the bytes come: what servers and providers of others send us.

use bytes::Bytes;

/// One event that carries data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `data` lines, joined by line feeds.
    pub data: Bytes,
}

/// An event was larger than the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// An incremental parser. Memory is bounded by the limit on one event's bytes.
#[derive(Debug)]
pub struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed that follows belongs to it.
    after_cr: bool,
    started: bool,
    limit: usize,
    /// The id of the last event that has one, to resume after.
    pub last_id: Option<String>,
    /// The server's wish for the wait before a reconnection, in milliseconds.
    pub retry: Option<u64>,
}

impl Parser {
    /// A parser of a stream's beginning that refuses an event of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            started: false,
            limit,
            last_id: None,
            retry: None,
        }
    }

    /// Takes the next bytes and appends the events they complete to `events`.
    ///
    /// # Errors
    /// [`TooLarge`], after which the stream cannot be read on.
    pub fn feed(&mut self, mut chunk: &[u8], events: &mut Vec<Event>) -> Result<(), TooLarge> {
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', chunk) {
            self.extend_line(&chunk[..at])?;
            self.end_line(events);
            let cr = chunk[at] == b'\r';
            chunk = &chunk[at + 1..];
            if cr {
                self.after_cr = chunk.is_empty();
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
        }
        self.extend_line(chunk)
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + self.data.len() + part.len() > self.limit {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.started, true) {
            text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        }
        if text.is_empty() {
            if std::mem::take(&mut self.has_data) && !self.data.is_empty() {
                events.push(Event { data: Bytes::from(std::mem::take(&mut self.data)) });
            }
            self.data.clear();
            return;
        }
        let (field, value) = match memchr::memchr(b':', text) {
            Some(at) => (&text[..at], text[at + 1..].strip_prefix(b" ").unwrap_or(&text[at + 1..])),
            None => (text, &b""[..]),
        };
        match field {
            b"data" if self.has_data => {
                self.data.push(b'\n');
                self.data.extend_from_slice(value);
            }
            b"data" => {
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => self.last_id = String::from_utf8(value.to_vec()).ok(),
            b"retry" => self.retry = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::new(1 << 20);
        let mut events = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut events).unwrap();
        }
        events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(parse(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]), ["YHOO\n+2\n10"]);
        assert_eq!(
            parse(&[b": comment\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n"]),
            ["first", "second", " third"]
        );
        assert_eq!(parse(&[b"data:test\r\r\xef\xbb\xbf"]), ["test"]);
        assert_eq!(parse(&[b"\xef\xbb\xbfdata: a\r\n\r\ndata: unfinished\n"]), ["a"]);
        assert!(parse(&[b"id: 0\nretry: 5\ndata:\n\n"]).is_empty());
    }

    #[test]
    fn id_and_retry_are_kept() {
        let mut parser = Parser::new(100);
        parser.feed(b"id: e-7\nretry: 250\ndata:\n\n", &mut Vec::new()).unwrap();
        assert_eq!((parser.last_id.as_deref(), parser.retry), (Some("e-7"), Some(250)));
    }

    #[test]
    fn an_event_over_the_limit_ends_the_stream() {
        let mut parser = Parser::new(100);
        let mut fed = Ok(());
        for _ in 0..20 {
            fed = fed.and_then(|()| parser.feed(b"data: 0123456789\n", &mut Vec::new()));
        }
        assert_eq!(fed, Err(TooLarge));
        assert!(parser.data.len() <= 100);
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_does_not_matter(
            lines in prop::collection::vec("(data: ?[a-z:]{0,9}|id: [a-z]{1,3}|: x|event: e|)", 0..30),
            ends in prop::collection::vec(0usize..3, 30),
            cuts in prop::collection::vec(1usize..7, 1..50),
        ) {
            let text: String =
                lines.iter().zip(&ends).map(|(line, end)| format!("{line}{}", ["\n", "\r\n", "\r"][*end])).collect();
            // A carriage return before an empty line's line feed would be one line's end, not two.
            let whole = parse(&[text.as_bytes()]);
            let mut rest = text.as_bytes();
            let mut chunks = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(parse(&chunks), whole);
        }
    }
}

//! W3C trace context: the ids that join one request's spans across processes.

use std::fmt;

use uuid::Uuid;

/// The `traceparent` of a request (W3C Trace Context, version 00).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// A new trace with a random id, sampled.
    #[must_use]
    pub fn generate() -> Self {
        // UUIDv4 has fixed version bits, so neither id is ever all zero, which the specification forbids.
        Self { trace_id: Uuid::new_v4().as_u128(), span_id: new_span_id(), sampled: true }
    }

    /// Parses a `traceparent` header; `None` where it is malformed, as the specification asks to restart
    /// the trace then.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = hex_field(parts.next()?, 2)?;
        let trace_id = hex_field(parts.next()?, 32)?;
        let span_id = u64::try_from(hex_field(parts.next()?, 16)?).ok()?;
        let flags = hex_field(parts.next()?, 2)?;
        let extra = parts.next().is_some();
        if version == 0xff || (version == 0 && extra) || trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The same trace with a new span id: what is sent to the next process.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// The trace id, 32 hex digits when printed with `{:032x}`.
    #[must_use]
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }
}

fn new_span_id() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

fn hex_field(text: &str, len: usize) -> Option<u128> {
    let valid = text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    valid.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceContext {
    /// The header's value: `00-{trace}-{span}-{flags}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_the_specification_example() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceContext::parse(header).unwrap().to_string(), header);
    }

    #[test]
    fn malformed_headers_restart_the_trace() {
        for header in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header:?}");
        }
    }

    #[test]
    fn a_child_stays_in_its_trace() {
        let parent = TraceContext::generate();
        let child = parent.child();
        assert_eq!(parent.trace_id(), child.trace_id());
        assert_ne!(parent, child);
    }
}

//! Server-sent events.

use bytes::Bytes;

/// One message as an event.
///
/// Line ends can only be blanks between JSON tokens; each line gets a `data` field of its own, which the
/// reader joins again.
pub(super) fn event(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\n");
    for line in message.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_stays_one_event() {
        assert_eq!(event(b"{}"), "event: message\ndata: {}\n\n");
        assert_eq!(event(b"{\r\n \"a\": 1\n}"), "event: message\ndata: {\ndata:  \"a\": 1\ndata: }\n\n");
    }
}

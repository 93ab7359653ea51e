//! Messages as they are written to a server.

use std::io::Write as _;

use serde_json::value::RawValue;

use super::Reply;
use crate::jsonrpc::Fault;

/// A request, on one line, without the line's end.
pub(crate) fn request(id: u64, method: &str, params: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + method.len() + params.map_or(0, str::len));
    let _ = write!(out, r#"{{"jsonrpc":"2.0","id":{id},"method":"#);
    finish(out, method, params)
}

/// A notification, on one line.
pub(crate) fn notification(method: &str, params: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + method.len() + params.map_or(0, str::len));
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    finish(out, method, params)
}

/// The answer to a request of the server's, on one line.
pub(crate) fn response(id: &RawValue, reply: &Reply) -> Vec<u8> {
    let (key, value) = match reply {
        Reply::Result(value) => ("result", value),
        Reply::Error(value) => ("error", value),
    };
    let mut out = Vec::with_capacity(48 + value.get().len());
    let _ = write!(out, r#"{{"jsonrpc":"2.0","id":{},"{key}":{}}}"#, id.get(), value.get());
    on_one_line(&mut out);
    out
}

/// `notifications/cancelled` for the request `id`.
pub(crate) fn cancelled(id: u64) -> Vec<u8> {
    notification(
        "notifications/cancelled",
        Some(&format!(r#"{{"requestId":{id},"reason":"the caller went away"}}"#)),
    )
}

/// A fault as the error of a reply.
pub(crate) fn refusal(fault: &Fault) -> Reply {
    // A fault has no key that is no string, so it always serializes; the empty object would say "an error".
    let raw = serde_json::value::to_raw_value(fault).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Reply::Error(raw)
}

fn finish(mut out: Vec<u8>, method: &str, params: Option<&str>) -> Vec<u8> {
    // Writing to a Vec and serializing a str cannot fail.
    let _ = serde_json::to_writer(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
    on_one_line(&mut out);
    out
}

/// A line break within valid JSON is blank space between tokens; in a message it would end the line.
fn on_one_line(out: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &out[from..]) {
        out[from + at] = b' ';
        from += at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_its_parameters() {
        let line = request(3, "tools/call", Some("{\n\"a\":\r\n1}"));
        assert_eq!(line, br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{ "a":  1}}"#);
    }

    #[test]
    fn a_method_cannot_break_out_of_its_string() {
        let line = notification("a\"b\n", None);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["method"], "a\"b\n");
    }
}

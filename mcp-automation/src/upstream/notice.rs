//! What a server says to everybody on a connection.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Notice;
use crate::protocol::ServerName;

/// Longest notice. Each is kept until all have heard it, so that the longest messages would add up.
pub(crate) const NOTICE_BYTES: usize = 64 * 1024;

/// News that the method alone says.
const LISTS: [&str; 3] = [
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
];

/// What the listeners are told, if anything: nothing too long to be kept, and on a connection that tenants
/// share nothing that could be about one of them.
pub(crate) fn notice(
    server: &ServerName,
    shared: bool,
    method: &str,
    params: Option<&RawValue>,
) -> Option<Notice> {
    let long = method.len() + params.map_or(0, |params| params.get().len()) > NOTICE_BYTES;
    if long {
        metrics::counter!("mcp_upstream_long_notices_total", "server" => server.to_string()).increment(1);
    }
    if long || shared {
        return LISTS.contains(&method).then(|| Notice { method: Arc::from(method), params: None });
    }
    let params = params.map(|raw| Arc::from(raw.to_owned()));
    Some(Notice { method: Arc::from(method), params })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(shared: bool, method: &str, length: usize) -> Option<(String, bool)> {
        let params = RawValue::from_string(format!("{{\"x\":\"{}\"}}", "x".repeat(length))).unwrap();
        let notice = notice(&ServerName::parse("one").unwrap(), shared, method, Some(&params))?;
        Some((notice.method.to_string(), notice.params.is_some()))
    }

    #[test]
    fn what_is_too_long_or_may_be_about_a_tenant_is_not_told() {
        let (changed, updated) = ("notifications/tools/list_changed", "notifications/resources/updated");
        for (shared, method, length, wanted) in [
            (false, changed, 1, Some(true)),
            (false, updated, 1, Some(true)),
            (false, changed, NOTICE_BYTES, Some(false)),
            (false, updated, NOTICE_BYTES, None),
            (true, changed, 1, Some(false)),
            (true, updated, 1, None),
            (true, "notifications/of-ann/list_changed", 1, None),
        ] {
            let wanted = wanted.map(|params| (method.to_owned(), params));
            assert_eq!(told(shared, method, length), wanted, "{shared} {method} {length}");
        }
    }
}

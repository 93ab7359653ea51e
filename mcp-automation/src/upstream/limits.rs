//! What a connection lets its server do.

use std::time::Duration;

/// How much and how long a server may, and to whom it may speak.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest message a server may send, in bytes. Default 16 MiB.
    pub message: usize,
    /// Longest wait for a reply where the scope sets no earlier deadline. Default 300 s.
    pub call: Duration,
    /// How long a server may be silent to `server/discover` before it is taken for a legacy one that ignores
    /// what it does not know. Default 2 s.
    pub probe: Duration,
    /// Whether several tenants use the connection. The server then can ask no caller anything, and of what
    /// belongs to no call only that a list has changed is passed on. Default `false`.
    pub shared: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 << 20,
            call: Duration::from_secs(300),
            probe: Duration::from_secs(2),
            shared: false,
        }
    }
}

impl Limits {
    /// Longest wait for the reply to `method`: that of `subscriptions/listen` comes when the stream ends.
    pub(crate) fn longest(&self, method: &str) -> Duration {
        match method {
            "subscriptions/listen" => Duration::from_secs(24 * 60 * 60),
            _ => self.call,
        }
    }
}

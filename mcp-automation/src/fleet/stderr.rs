//! The last of what a server wrote to its standard error.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use mcp_core::scope::TenantId;
use tokio::io::AsyncRead;

use crate::{
    protocol::ServerName,
    upstream::line::{Line, Lines},
};

/// Longest line that is kept whole, in bytes.
const LINE: usize = 4 << 10;

/// The newest lines within a number of bytes.
#[derive(Debug)]
pub(super) struct Ring {
    lines: Mutex<(VecDeque<String>, usize)>,
    capacity: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { lines: Mutex::default(), capacity }
    }

    pub(super) fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.1 += line.len() + 1;
        lines.0.push_back(line);
        while lines.1 > self.capacity {
            let Some(oldest) = lines.0.pop_front() else { break };
            lines.1 -= oldest.len() + 1;
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.iter().cloned().collect()
    }
}

/// Reads `stream` to its end into the ring and the log.
pub(super) async fn collect<R>(stream: R, ring: Arc<Ring>, server: ServerName, tenant: Option<TenantId>)
where
    R: AsyncRead + Unpin,
{
    let mut lines = Lines::new(stream, LINE);
    while let Ok(Some(line)) = lines.next().await {
        let (Line::Whole(bytes) | Line::TooLong(bytes)) = line;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        tracing::debug!(%server, tenant = tenant.as_ref().map_or("", TenantId::as_str), line = %text, "server's stderr");
        ring.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room() {
        let ring = Ring::new(10);
        for line in ["one", "two", "three"] {
            ring.push(line.to_owned());
        }
        assert_eq!(ring.lines(), ["two", "three"]);
        ring.push("longer than the ring".to_owned());
        assert!(ring.lines().is_empty());
    }
}

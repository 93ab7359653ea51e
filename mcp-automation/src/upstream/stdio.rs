//! A connection to a server over its standard input and output: one JSON-RPC message a line.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{ErrorKind, Result, Scope};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::{broadcast, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Downstream, Era, Limits, Notice, Reply, ServerInfo, Upstream,
    handshake::{self, Discovered},
    line::{Line, Lines},
    message,
    mux::Mux,
};
use crate::protocol::ServerName;

/// Unreadable lines in a row after which a connection is given up.
const GARBAGE: u32 = 1000;

/// A live stdio connection.
#[derive(Debug)]
pub struct StdioUpstream {
    server: ServerName,
    info: ServerInfo,
    mux: Arc<Mux>,
    limits: Limits,
    closed: CancellationToken,
}

impl StdioUpstream {
    /// Shakes hands over the server's `output` and `input` and keeps reading and writing in `tasks` until the
    /// server closes its output or [`close`](Self::close) is called.
    ///
    /// `era` says what to try first: with `None`, `server/discover` and then `initialize`.
    ///
    /// # Errors
    /// [`Upstream`](ErrorKind::Upstream) when the server breaks the protocol or goes away.
    ///
    /// # Cancellation
    /// Safe: the connection is closed.
    pub async fn open<R, W>(
        server: ServerName,
        output: R,
        input: W,
        era: Option<Era>,
        limits: Limits,
        tasks: &TaskTracker,
    ) -> Result<Self>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (mux, outbox) = Mux::new(server.clone(), limits.shared);
        let mux = Arc::new(mux);
        let closed = CancellationToken::new();
        tasks.spawn(read(Lines::new(output, limits.message), Arc::clone(&mux), closed.clone()));
        tasks.spawn(write(input, outbox, Arc::clone(&mux), closed.clone()));
        let guard = closed.drop_guard();
        let info = handshake::usable(shake(&server, &mux, era, &limits).await?, limits.shared);
        if let Some(params) = handshake::listen_params(&info) {
            let mux = Arc::clone(&mux);
            // Its reply comes when the subscription ends; what it is for comes as notices until then.
            tasks.spawn(async move { mux.exchange("subscriptions/listen", &params).await });
        }
        Ok(Self { server, info, mux, limits, closed: guard.disarm() })
    }

    /// Waits for the end of the connection and says why it ended.
    pub async fn ended(&self) -> String {
        self.closed.cancelled().await;
        self.mux.ended().unwrap_or_else(|| "closed".to_owned())
    }

    /// Ends the connection; calls in flight fail with `why`.
    pub fn close(&self, why: &str) {
        self.mux.end(why);
        self.closed.cancel();
    }
}

impl Drop for StdioUpstream {
    fn drop(&mut self) {
        self.close("the connection was dropped");
    }
}

#[async_trait]
impl Upstream for StdioUpstream {
    fn name(&self) -> &ServerName {
        &self.server
    }

    fn info(&self) -> &ServerInfo {
        &self.info
    }

    async fn call(
        &self,
        scope: &Scope,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply> {
        let wait = scope.remaining(self.limits.longest(method));
        let call = self.mux.call(scope, self.info.version, method, params, downstream);
        tokio::time::timeout(wait, call).await.unwrap_or_else(|_| {
            Err(self.mux.error(ErrorKind::DeadlineExceeded, "did not answer within the deadline"))
        })
    }

    async fn notify(&self, scope: &Scope, method: &str, params: Option<&RawValue>) -> Result<()> {
        tokio::time::timeout(scope.remaining(self.limits.call), self.mux.notify(method, params))
            .await
            .unwrap_or_else(|_| Err(self.mux.error(ErrorKind::DeadlineExceeded, "does not read its input")))
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.mux.notices()
    }
}

/// Finds out which era the server is of and shakes hands accordingly.
async fn shake(server: &ServerName, mux: &Mux, era: Option<Era>, limits: &Limits) -> Result<ServerInfo> {
    if era == Some(Era::Legacy) {
        return initialize(server, mux, limits.shared).await;
    }
    let params = handshake::discover_params();
    let mut probe = std::pin::pin!(mux.exchange("server/discover", &params));
    if let Ok(reply) = tokio::time::timeout(limits.probe, &mut probe).await {
        return match handshake::read_discover(server, reply?)? {
            Discovered::Modern(info) => Ok(*info),
            Discovered::Legacy => initialize(server, mux, limits.shared).await,
        };
    }
    // Silent: a legacy server that ignores the unknown, or one that is still starting. Whichever it is, it
    // answers one of the two.
    let mut legacy = std::pin::pin!(initialize(server, mux, limits.shared));
    let discovered = |reply| match handshake::read_discover(server, reply) {
        Ok(Discovered::Modern(info)) => Some(*info),
        Ok(Discovered::Legacy) | Err(_) => None,
    };
    // A server that took `initialize` is in a legacy session now, whatever it said before; one that refused it may
    // be modern, and have said so at the same moment.
    tokio::select! {
        biased;
        info = &mut legacy => match info {
            Ok(info) => Ok(info),
            Err(refused) => match tokio::time::timeout(limits.probe, probe).await {
                Ok(Ok(reply)) => discovered(reply).ok_or(refused),
                Ok(Err(_)) | Err(_) => Err(refused),
            },
        },
        reply = &mut probe => {
            let modern = discovered(reply?);
            legacy.await.or_else(|refused| modern.ok_or(refused))
        }
    }
}

async fn initialize(server: &ServerName, mux: &Mux, shared: bool) -> Result<ServerInfo> {
    let reply = mux.exchange("initialize", &handshake::initialize_params(shared)).await?;
    let info = handshake::read_initialize(server, reply)?;
    mux.send(message::notification("notifications/initialized", None)).await?;
    Ok(info)
}

async fn read<R: AsyncRead + Unpin>(mut lines: Lines<R>, mux: Arc<Mux>, closed: CancellationToken) {
    let mut garbage = 0;
    let why = loop {
        let next = tokio::select! {
            biased;
            () = closed.cancelled() => break "the connection was closed",
            next = lines.next() => next,
        };
        let readable = match next {
            Ok(Some(Line::Whole(line))) => {
                mux.receive(&line) || {
                    mux.fail_by_head(&line, ErrorKind::Upstream, "answered with what is no JSON-RPC message");
                    false
                }
            }
            Ok(Some(Line::TooLong(head))) => {
                if !mux.fail_by_head(&head, ErrorKind::TooLarge, "answered with a longer line than the limit")
                {
                    break "wrote a longer line than the limit";
                }
                true
            }
            Ok(None) => break "ended its output",
            Err(error) => {
                tracing::debug!(%error, "reading a server's output failed");
                break "its output cannot be read";
            }
        };
        garbage = if readable { 0 } else { garbage + 1 };
        if garbage > GARBAGE {
            break "writes garbage";
        }
    };
    mux.end(why);
    closed.cancel();
}

async fn write<W: AsyncWrite + Unpin>(
    mut input: W,
    mut outbox: mpsc::Receiver<Vec<u8>>,
    mux: Arc<Mux>,
    closed: CancellationToken,
) {
    let mut batch = Vec::new();
    let mut buffer = Vec::new();
    loop {
        let written = async {
            if outbox.recv_many(&mut batch, 64).await == 0 {
                return false;
            }
            // One write for all that wait: a system call costs more than the copy.
            for line in batch.drain(..) {
                buffer.extend_from_slice(&line);
                buffer.push(b'\n');
            }
            let ok = input.write_all(&buffer).await.is_ok() && input.flush().await.is_ok();
            buffer.clear();
            buffer.shrink_to(64 * 1024);
            ok
        };
        let go_on = tokio::select! {
            biased;
            () = closed.cancelled() => false,
            ok = written => ok,
        };
        if !go_on {
            break;
        }
    }
    mux.end("closed its input");
    closed.cancel();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt as _, BufReader, duplex, split};

    use super::*;

    /// A server that is so slow to start that it finds both questions waiting, and answers them in one breath.
    #[tokio::test(start_paused = true)]
    async fn a_modern_server_that_was_slow_to_start_is_taken_for_what_it_is() {
        let (ours, theirs) = duplex(64 * 1024);
        let server = tokio::spawn(async move {
            let (input, mut output) = split(theirs);
            let mut lines = BufReader::new(input).lines();
            let mut asked = Vec::new();
            while asked.len() < 2 {
                let line = lines.next_line().await.unwrap().unwrap();
                asked.push(serde_json::from_str::<Value>(&line).unwrap());
            }
            let result = json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } });
            let refusal = json!({ "code": -32022, "message": "serving 2026-07-28" });
            let answers = [
                json!({ "jsonrpc": "2.0", "id": asked[0]["id"], "result": result }),
                json!({ "jsonrpc": "2.0", "id": asked[1]["id"], "error": refusal }),
            ];
            output.write_all(answers.map(|answer| format!("{answer}\n")).concat().as_bytes()).await.unwrap();
            (lines, output, asked[1]["method"].clone())
        });
        let (output, input) = split(ours);
        let limits = Limits { probe: Duration::from_secs(2), ..Limits::default() };
        let (name, tasks) = (ServerName::parse("slow").unwrap(), TaskTracker::new());
        let upstream = StdioUpstream::open(name, output, input, None, limits, &tasks).await.unwrap();
        assert_eq!(upstream.info().version, crate::protocol::ProtocolVersion::LATEST);
        assert_eq!(server.await.unwrap().2, "initialize");
    }
}

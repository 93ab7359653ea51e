//! The stream on which a stateless client hears of updates: `subscriptions/listen`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{sync::mpsc, time::Instant};

use super::{
    super::{
        body::Body,
        exchange::Permit,
        guard::Refusal,
        listen::KEEP_ALIVE,
        method::Method,
        metrics::Outcome,
        respond,
        shared::{Caller, Shared},
        splice, sse,
    },
    Subscriber, legacy,
};
use crate::jsonrpc::{Fault, code, write};

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

#[derive(Debug, Deserialize)]
struct Params {
    notifications: Filter,
}

/// What a client asks to be told; lists are not told of on these streams.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    resource_subscriptions: Option<BTreeSet<String>>,
}

/// Whether a `subscriptions/listen` asks for resources.
pub(in crate::gateway) fn wants_resources(params: Option<&RawValue>) -> bool {
    read(params).is_ok_and(|uris| !uris.is_empty())
}

fn read(params: Option<&RawValue>) -> Result<BTreeSet<String>, Fault> {
    let params = params.and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
    let text = "`params.notifications` must be an object, its `resourceSubscriptions` a list of URIs";
    let params = params.ok_or_else(|| Fault::new(code::INVALID_PARAMS, text))?;
    Ok(params.notifications.resource_subscriptions.unwrap_or_default())
}

impl Shared {
    /// Opens the stream. It first says what will be told: of what was asked for, that which a server has.
    pub(in crate::gateway) async fn listen_stateless(
        self: &Arc<Self>,
        caller: Caller,
        id: &str,
        params: Option<&RawValue>,
    ) -> Response<Body> {
        let began = Instant::now();
        let (outcome, response) = match self.open_stream(caller, id, params).await {
            Ok(response) => (Outcome::Ok, response),
            Err(fault) => (Outcome::Error, respond::refuse(StatusCode::OK, Some(id), &fault)),
        };
        self.metrics.record(Some(Method::Listen), outcome, began.elapsed());
        response
    }

    async fn open_stream(
        self: &Arc<Self>,
        caller: Caller,
        id: &str,
        params: Option<&RawValue>,
    ) -> Result<Response<Body>, Fault> {
        let uris = read(params)?;
        let max = self.sessions.limits().subscriptions_per_session;
        if uris.len() > max {
            let text = format!("more than {max} `resourceSubscriptions` on one stream");
            return Err(Fault::new(code::INVALID_PARAMS, text));
        }
        let permit = Permit::take(self, &caller).map_err(|error| Fault::from(&error))?;
        let subscriber = Arc::new(Subscriber::new(max));
        let accepted = self.accept(&caller, uris, &subscriber).await;
        let stream = Stream { id: id.to_owned(), subscriber };
        let (chunks, body) = mpsc::channel(16);
        let shared = self.clone();
        self.tasks.spawn(async move {
            let _permit = permit;
            let gone = chunks.clone();
            tokio::select! {
                () = gone.closed() => {}
                _ = stream.write(&shared, accepted, chunks) => {}
            }
        });
        Ok(respond::events(Body::stream(body, ())))
    }

    /// Subscribes to all that can be; what cannot is missing from what the client is told it will hear.
    async fn accept(
        self: &Arc<Self>,
        caller: &Caller,
        uris: BTreeSet<String>,
        subscriber: &Arc<Subscriber>,
    ) -> Vec<String> {
        let joined = join_all(uris.into_iter().map(|uri| async move {
            let joined = async {
                let (scope, endpoint) = (&caller.scope, &caller.endpoint);
                let server = self.owner_of_uri(scope, endpoint, &uri, code::INVALID_PARAMS).await?;
                self.may_read(caller, Method::Listen, &server, &uri).await?;
                self.join(scope, &server, &uri, subscriber).await.map_err(Refusal::from)
            };
            match joined.await {
                Ok(()) => Some(uri),
                Err(Refusal { fault, .. }) => {
                    tracing::info!(
                        tenant = %caller.scope.tenant(), request_id = %caller.scope.request_id(),
                        reason = %fault.message, "a resource is left out of a stream"
                    );
                    None
                }
            }
        }));
        joined.await.into_iter().flatten().collect()
    }
}

/// One open stream.
struct Stream {
    /// The request's id as it was written, which each message names.
    id: String,
    subscriber: Arc<Subscriber>,
}

impl Stream {
    /// Writes until the client is gone or the gateway drains, which it is told by the request's answer.
    async fn write(
        self,
        shared: &Shared,
        accepted: Vec<String>,
        chunks: mpsc::Sender<Bytes>,
    ) -> Result<(), mpsc::error::SendError<Bytes>> {
        let accepted = json!({ "resourceSubscriptions": accepted });
        chunks
            .send(
                self.event(
                    "notifications/subscriptions/acknowledged",
                    &format!("\"notifications\":{accepted}"),
                ),
            )
            .await?;
        loop {
            tokio::select! {
                biased;
                () = shared.drain.begun.cancelled() => break,
                uri = self.subscriber.updated() => {
                    chunks.send(self.event(legacy::UPDATED, &format!("\"uri\":{}", splice::quoted(&uri)))).await?;
                }
                () = tokio::time::sleep(KEEP_ALIVE) => chunks.send(Bytes::from_static(b": \n\n")).await?,
            }
        }
        let result = format!("{{\"resultType\":\"complete\",\"_meta\":{}}}", self.meta());
        let last = chunks.send(sse::event(&write::result(&self.id, &result)));
        tokio::time::timeout(Duration::from_secs(1), last).await.unwrap_or(Ok(()))
    }

    fn event(&self, method: &str, members: &str) -> Bytes {
        let params = splice::raw(format!("{{\"_meta\":{},{members}}}", self.meta()));
        sse::event(&write::message(None, method, Some(&params)))
    }

    fn meta(&self) -> String {
        format!("{{\"{SUBSCRIPTION_ID}\":{}}}", self.id)
    }
}

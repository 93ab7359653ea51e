//! What one connection keeps apart.

use mcp_core::{
    error::Detail,
    scope::{Permissions, Principal, PrincipalKind, TenantId},
};

use super::*;

fn mux() -> (Mux, mpsc::Receiver<Vec<u8>>) {
    Mux::new(ServerName::parse("one").unwrap(), false)
}

/// A call of this principal's.
fn of(principal: &str) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse(principal).unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::default(),
    };
    Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
}

/// What a caller hears.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Downstream for Heard {
    async fn notify(&self, method: &str, _params: Option<&RawValue>) {
        self.0.lock().unwrap().push(method.to_owned());
    }

    async fn request(&self, method: &str, _params: Option<&RawValue>) -> Result<Reply> {
        self.0.lock().unwrap().push(method.to_owned());
        Ok(Reply::Result(empty_object()))
    }
}

#[tokio::test]
async fn a_connection_that_tenants_share_tells_a_caller_only_what_is_certain() {
    let of_ann = of("ann");
    let (mux, mut written) = Mux::new(ServerName::parse("one").unwrap(), true);
    let (mut news, ann) = (mux.notices(), Heard::default());
    let mut call =
        std::pin::pin!(mux.call(&of_ann, ProtocolVersion::LATEST_LEGACY, "tools/call", None, &ann));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(next_line(&mut written).await["id"], 1);
    let updated =
        br#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"of:bob"}}"#;
    for line in [ASKS, SAYS, updated] {
        assert!(mux.receive(&Bytes::from_static(line)));
    }
    let refusal = next_line(&mut written).await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&"q".into(), &(-32601).into()));
    mux.receive(&Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    assert!(matches!(call.await, Ok(Reply::Result(_))));
    assert!(ann.0.lock().unwrap().is_empty(), "{ann:?}");
    assert!(news.try_recv().is_err());
}

async fn next_line(written: &mut mpsc::Receiver<Vec<u8>>) -> serde_json::Value {
    serde_json::from_slice(&written.recv().await.unwrap()).unwrap()
}

const ASKS: &[u8] =
    br#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"Ann?"}}"#;
const SAYS: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"of Ann"}}"#;

#[tokio::test]
async fn what_may_be_about_an_abandoned_call_reaches_no_other_caller() {
    let (of_ann, of_bob) = (of("ann"), of("bob"));
    let (mux, mut written) = mux();
    let version = ProtocolVersion::LATEST_LEGACY;
    let (ann, bob) = (Heard::default(), Heard::default());
    {
        let call = std::pin::pin!(mux.call(&of_ann, version, "tools/call", None, &ann));
        assert!(futures_util::poll!(call).is_pending());
    }
    assert_eq!(next_line(&mut written).await["id"], 1);
    assert_eq!(next_line(&mut written).await["method"], "notifications/cancelled");

    let mut call = std::pin::pin!(mux.call(&of_bob, version, "tools/call", None, &bob));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(next_line(&mut written).await["id"], 2);
    for line in [ASKS, SAYS] {
        assert!(mux.receive(&Bytes::from_static(line)));
    }
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert!(bob.0.lock().unwrap().is_empty(), "{bob:?}");
    let refusal = next_line(&mut written).await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&"q".into(), &(-32601).into()));

    // With the late reply the server is done with Ann's call, so what it asks now is Bob's.
    mux.receive(&Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    for line in [ASKS, SAYS] {
        assert!(mux.receive(&Bytes::from_static(line)));
    }
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(*bob.0.lock().unwrap(), ["elicitation/create", "notifications/message"]);
    assert!(next_line(&mut written).await["result"].is_object());
    mux.receive(&Bytes::from_static(br#"{"jsonrpc":"2.0","id":2,"result":{}}"#));
    assert!(matches!(call.await, Ok(Reply::Result(_))));
    assert!(ann.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_was_given_up_leaves_its_own_principal_to_be_asked() {
    let of_ann = of("ann");
    let (mux, mut written) = mux();
    let version = ProtocolVersion::LATEST_LEGACY;
    let (over, ann) = (Heard::default(), Heard::default());
    {
        let call = std::pin::pin!(mux.call(&of_ann, version, "tools/call", None, &over));
        assert!(futures_util::poll!(call).is_pending());
    }
    let mut call = std::pin::pin!(mux.call(&of_ann, version, "tools/call", None, &ann));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    for expected in ["tools/call", "notifications/cancelled", "tools/call"] {
        assert_eq!(next_line(&mut written).await["method"], expected);
    }
    for line in [ASKS, SAYS] {
        assert!(mux.receive(&Bytes::from_static(line)));
    }
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(*ann.0.lock().unwrap(), ["elicitation/create", "notifications/message"]);
    let answer = next_line(&mut written).await;
    assert!(answer["id"] == "q" && answer["result"].is_object(), "{answer}");
    mux.receive(&Bytes::from_static(br#"{"jsonrpc":"2.0","id":2,"result":{}}"#));
    assert!(matches!(call.await, Ok(Reply::Result(_))));
    assert!(over.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_whose_caller_does_not_read_fails_before_it_holds_too_much() {
    let of_bob = of("bob");
    let (mux, mut written) = mux();
    let bob = Heard::default();
    let mut call =
        std::pin::pin!(mux.call(&of_bob, ProtocolVersion::LATEST_LEGACY, "tools/call", None, &bob));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    let said = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"data":"{}"}}}}"#,
        "x".repeat(1 << 20)
    );
    for _ in 0..20 {
        assert!(mux.receive(&Bytes::from(said.clone())));
    }
    let error = call.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.details(), [Detail::Server { name: "one".to_owned() }]);
    assert!(bob.0.lock().unwrap().is_empty(), "what waited is forgotten");
    assert_eq!(next_line(&mut written).await["id"], 1);
    assert_eq!(next_line(&mut written).await["method"], "notifications/cancelled");
    assert!(written.try_recv().is_err());
}

#[tokio::test]
async fn what_is_of_a_stream_reaches_its_listener_and_hides_no_other_call() {
    let (of_ann, of_bob) = (of("ann"), of("bob"));
    let (mux, mut written) = mux();
    let (mut news, ann, bob) = (mux.notices(), Heard::default(), Heard::default());
    let version = ProtocolVersion::LATEST;
    let mut stream = Box::pin(mux.call(&of_ann, version, "subscriptions/listen", None, &ann));
    assert!(futures_util::poll!(stream.as_mut()).is_pending());
    let mut call = std::pin::pin!(mux.call(&of_bob, version, "tools/call", None, &bob));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    for id in [1, 2] {
        assert_eq!(next_line(&mut written).await["id"], id);
    }
    let updated: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/resources/updated",
        "params":{"uri":"of:ann","_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
    for line in [updated, SAYS] {
        assert!(mux.receive(&Bytes::from_static(line)));
    }
    assert!(futures_util::poll!(stream.as_mut()).is_pending());
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(*ann.0.lock().unwrap(), ["notifications/resources/updated"]);
    assert_eq!(*bob.0.lock().unwrap(), ["notifications/message"]);
    assert!(news.try_recv().is_err());

    drop(stream);
    assert_eq!(next_line(&mut written).await["method"], "notifications/cancelled");
    assert!(mux.receive(&Bytes::from_static(SAYS)));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(bob.0.lock().unwrap().len(), 2, "a stream that ended leaves no doubt");
    mux.receive(&Bytes::from_static(br#"{"jsonrpc":"2.0","id":2,"result":{}}"#));
    assert!(matches!(call.await, Ok(Reply::Result(_))));
}

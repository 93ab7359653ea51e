//! Against servers that speak raw HTTP/1.1, so that they decide when a connection ends.

use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// When a test gives up on what must come; no bound on how soon.
const GUARD: Duration = Duration::from_secs(60);

async fn listen() -> (TcpListener, Plain, Uri) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/mcp?a=1", listener.local_addr().unwrap());
    (listener, Plain::new(HttpConnector::new()), uri.parse().unwrap())
}

fn post(uri: &Uri) -> Request<Full<Bytes>> {
    Request::post(uri.clone()).body(Full::new(Bytes::from_static(b"{}"))).unwrap()
}

/// Reads a request, which ends with its body `{}`.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "the client went away");
    }
    String::from_utf8(text).unwrap()
}

async fn answer(plain: &Plain, uri: &Uri) -> String {
    let sent = tokio::time::timeout(GUARD, plain.send(post(uri))).await.expect("no answer");
    let response = sent.unwrap_or_else(|failure| panic!("{}", failure.source));
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_and_one_that_has_ended_is_replaced() {
    let (listener, plain, uri) = listen().await;
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let request = read(&mut first).await;
        first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await.unwrap();
        read(&mut first).await;
        first
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n")
            .await
            .unwrap();
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        read(&mut second).await;
        second.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n3").await.unwrap();
        request
    });
    for expected in ["1", "2", "3"] {
        assert_eq!(answer(&plain, &uri).await, expected);
        if expected == "2" {
            // The end is on its way; what it says is for the next call to find out.
            while let Some(link) = plain.idle.take(uri.authority().unwrap()) {
                plain.idle.give_back(uri.authority().unwrap(), link);
                tokio::task::yield_now().await;
            }
        }
    }
    let request = server.await.unwrap();
    assert!(request.starts_with("POST /mcp?a=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", uri.authority().unwrap())), "{request}");
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_ends_its_connection() {
    let (listener, plain, uri) = listen().await;
    let (has_read, mut read_by_now) = tokio::sync::mpsc::channel(2);
    let server = tokio::spawn(async move {
        for head in ["", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await;
            has_read.send(()).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let gone = tokio::time::timeout(GUARD, stream.read(&mut [0])).await.expect("still connected");
            assert_eq!(gone.unwrap_or(0), 0);
        }
    });
    // Before the head of the answer, when the server has the request.
    let request = post(&uri);
    tokio::select! {
        _ = plain.send(request) => panic!("there was no answer"),
        _ = read_by_now.recv() => {}
    }
    // And in the middle of its body.
    let mut body =
        plain.send(post(&uri)).await.unwrap_or_else(|failure| panic!("{}", failure.source)).into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
    drop(body);
    server.await.unwrap();
    assert!(plain.idle.take(uri.authority().unwrap()).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_is_closed_in_time() {
    let (listener, plain, uri) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await.unwrap();
        stream.read(&mut [0]).await.unwrap_or(0)
    });
    assert_eq!(answer(&plain, &uri).await, "1");
    assert_eq!(server.await.unwrap(), 0);
}

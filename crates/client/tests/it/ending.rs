//! How connections end.

use client::{Client, Closed, Error, Frame, Options, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::{Format, Publication, Push, PushBody, Reply};

use crate::server::pair;

#[tokio::test]
async fn code_and_reason_of_the_server_are_seen_by_all() {
    let (mut client, mut server) = pair(Options::new(Format::Json)).await;
    let push = Push {
        channel: "news".to_owned(),
        body: PushBody::Publication(Publication::default()),
    };
    server.reply(&[Reply::push(push)]).await;
    let serve = async {
        server.receive().await;
        server.close(3501, "bad request").await;
        server.closed().await
    };
    let (result, answered) = tokio::join!(client.subscribe("news"), serve);
    let expected = Closed {
        code: 3501,
        reason: "bad request".to_owned(),
    };
    assert_eq!(result.unwrap_err().closed(), Some(&expected));
    assert_eq!(answered, Some(3501), "the close frame is answered");
    assert_eq!(client.closed().await.unwrap(), expected);
    client
        .next_push()
        .await
        .expect("pushes before the end are delivered");
    assert_eq!(
        client.next_push().await.unwrap_err().closed(),
        Some(&expected)
    );
    let late = client.subscribe("news").await;
    assert_eq!(late.unwrap_err().closed(), Some(&expected));
}

#[tokio::test]
async fn a_client_closes_in_good_order() {
    let (client, mut server) = pair(Options::new(Format::Protobuf)).await;
    let (closed, code) = tokio::join!(client.close(), server.closed());
    assert_eq!(code, Some(1000));
    assert_eq!(closed.unwrap().code, 1000);
}

#[tokio::test]
async fn dropping_the_client_closes() {
    let (client, mut server) = pair(Options::new(Format::Json)).await;
    drop(client);
    assert_eq!(server.closed().await, Some(1000));
}

#[tokio::test]
async fn aborting_says_nothing() {
    let (client, mut server) = pair(Options::new(Format::Json)).await;
    client.abort().await;
    assert_eq!(server.closed().await, None);
    assert_eq!(client.closed().await.unwrap(), Closed::abnormal());
}

#[tokio::test]
async fn a_server_that_vanishes_is_an_abnormal_end() {
    let (client, server) = pair(Options::new(Format::Json)).await;
    drop(server);
    assert_eq!(client.closed().await.unwrap(), Closed::abnormal());
}

#[tokio::test]
async fn a_refused_handshake_tells_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let refuse = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = tcp.read(&mut request).await.unwrap();
        let response = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope";
        tcp.write_all(response.as_bytes()).await.unwrap();
    };
    let (result, ()) = tokio::join!(Client::open(&url, Format::Json), refuse);
    let Err(Error::Refused { status, body }) = result else {
        panic!("not refused: {result:?}");
    };
    assert_eq!((status, body.as_str()), (403, "nope"));
}

#[tokio::test]
async fn nobody_listening_is_a_transport_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let result = Socket::open(&url, &Options::new(Format::Json)).await;
    assert!(matches!(result, Err(Error::Transport(_))), "{result:?}");
}

#[tokio::test]
async fn a_socket_shows_the_close_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let options = Options {
        subprotocol: None,
        ..Options::new(Format::Json)
    };
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = tokio_tungstenite::accept_async(tcp).await.unwrap();
        stream.close(None).await.unwrap();
    };
    let (socket, ()) = tokio::join!(Socket::open(&url, &options), serve);
    let mut socket = socket.unwrap();
    assert_eq!(socket.subprotocol(), None);
    let expected = Closed {
        code: 1005,
        reason: String::new(),
    };
    assert_eq!(socket.next_frame().await.unwrap(), Frame::Closed(expected));
}

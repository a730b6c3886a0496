//! TLS on the public port.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{API_KEY, SOON, TestGateway, namespace, token};

type Secure = WebSocketStream<TlsStream<TcpStream>>;

async fn gateway() -> (TestGateway, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots
        .add(made.cert.der().clone())
        .expect("it is a certificate");
    let client = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_root_certificates(roots)
    .with_no_client_auth();
    let internal = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let gateway = TestGateway::start(|config| {
        config.http_server.tls.enabled = true;
        config.http_server.tls.cert_pem = made.cert.pem();
        config.http_server.tls.key_pem = made.signing_key.serialize_pem().as_str().into();
        config.http_server.internal_port = internal;
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_publish_for_client = true;
        });
    })
    .await;
    (gateway, TlsConnector::from(Arc::new(client)))
}

async fn open(gateway: &TestGateway, tls: &TlsConnector) -> Secure {
    let tcp = TcpStream::connect(gateway.gateway().address())
        .await
        .expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = tls
        .connect(name, tcp)
        .await
        .expect("the certificate is good");
    let url = "wss://localhost/connection/websocket";
    client_async(url, stream)
        .await
        .expect("the handshake succeeds")
        .0
}

async fn send(socket: &mut Secure, command: &Value) {
    let sent = socket.send(Message::text(command.to_string())).await;
    sent.expect("it is sent");
}

async fn next(socket: &mut Secure) -> String {
    loop {
        let next = tokio::time::timeout(SOON, socket.next())
            .await
            .expect("it comes in time");
        match next.expect("it is open").expect("it is well-formed") {
            Message::Text(text) => return text.as_str().to_owned(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn clients_speak_through_tls() {
    let (gateway, tls) = gateway().await;
    let mut sockets = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let mut socket = open(&gateway, &tls).await;
        let token = token(&json!({ "sub": user }));
        send(
            &mut socket,
            &json!({ "id": 1, "connect": { "token": token } }),
        )
        .await;
        assert!(next(&mut socket).await.contains("\"connect\""));
        send(
            &mut socket,
            &json!({ "id": 2, "subscribe": { "channel": "open:a" } }),
        )
        .await;
        assert!(next(&mut socket).await.contains("\"subscribe\""));
        sockets.push(socket);
    }
    // Small and large: more than a TLS record, and more than the kernel takes at once.
    for size in [1, 20_000, 60_000] {
        let data = "x".repeat(size);
        let publish = json!({ "id": 3, "publish": { "channel": "open:a", "data": data } });
        send(&mut sockets[0], &publish).await;
        for socket in &mut sockets {
            while !next(socket).await.contains(&data) {}
        }
    }
    let data = "y".repeat(3 << 20);
    let params = json!({ "channel": "open:a", "data": data }).to_string();
    let internal = gateway.gateway().internal_address().expect("it has one");
    let request = crate::support::Http::new(internal).post("/api/publish");
    let publishing = request.header("X-API-Key", API_KEY).body(params).send();
    let reading = async {
        for socket in &mut sockets {
            while !next(socket).await.contains(&data) {}
        }
    };
    let (published, ()) = tokio::join!(publishing, reading);
    assert_eq!(published.status, 200, "{}", published.body);
    // One leaves politely, one without a word.
    sockets.remove(0).close(None).await.expect("it closes");
    gateway.end(sockets).await;
}

#[tokio::test]
async fn who_speaks_no_tls_is_refused_and_harms_nobody() {
    let (gateway, tls) = gateway().await;
    let plain = client::Client::open(&gateway.url(), wire::Format::Json).await;
    plain.expect_err("it is not TLS");
    let silent = TcpStream::connect(gateway.gateway().address())
        .await
        .expect("it listens");
    let socket = open(&gateway, &tls).await;
    gateway.end((silent, socket)).await;
}

#[tokio::test]
async fn a_node_with_tls_leaves_as_any_other() {
    let (gateway, tls) = gateway().await;
    let mut socket = open(&gateway, &tls).await;
    let token = token(&json!({ "sub": "alice" }));
    send(
        &mut socket,
        &json!({ "id": 1, "connect": { "token": token } }),
    )
    .await;
    next(&mut socket).await;
    let leaving = tokio::spawn(gateway.drain());
    let closed = tokio::time::timeout(SOON, socket.next())
        .await
        .expect("it comes in time");
    match closed.expect("a frame").expect("it is well-formed") {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 3001),
        other => panic!("{other:?}"),
    }
    // The answer to the close frame goes out with the next read.
    let _end = tokio::time::timeout(SOON, socket.next())
        .await
        .expect("it ends in time");
    assert!(leaving.await.expect("it does not panic"));
}

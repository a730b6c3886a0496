//! Pings and pongs.

use std::time::{Duration, Instant};

use client::{Client, Frame, Options};
use runtime::config::Timespan;
use serde_json::json;
use wire::{ConnectRequest, Format};

use crate::support::{FORMATS, JsonSocket, TestGateway, close_code};

/// How often the gateway pings in these tests.
const INTERVAL: Duration = Duration::from_millis(1000);

async fn pinging_gateway() -> TestGateway {
    TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
        config.client.ping_interval = INTERVAL.into();
        config.client.pong_timeout = Timespan::from_millis(400);
    })
    .await
}

#[tokio::test]
async fn the_first_ping_comes_after_half_an_interval_to_one() {
    let gateway = pinging_gateway().await;
    for (format, ping) in [
        (Format::Json, Frame::Text("{}".into())),
        (Format::Protobuf, Frame::Binary(vec![0].into())),
    ] {
        let mut socket = gateway.socket(format).await;
        let connect = wire::Command {
            id: 1,
            request: Some(wire::Request::Connect(ConnectRequest::default())),
        };
        socket.send_commands(&[connect]).await.expect("it is sent");
        socket.next_replies().await.expect("the reply");
        let connected = Instant::now();
        assert_eq!(socket.next_frame().await.expect("a ping"), ping);
        let after = connected.elapsed();
        // The wheel that wakes connections turns in steps.
        assert!(
            after >= INTERVAL / 2 - Duration::from_millis(50),
            "{after:?}"
        );
        assert!(after <= INTERVAL * 3, "{after:?}");
        drop(socket);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_client_that_answers_stays() {
    let gateway = pinging_gateway().await;
    let mut clients = Vec::new();
    for format in FORMATS {
        let client = gateway.open(format).await;
        client
            .connect(ConnectRequest::default())
            .await
            .expect("it may");
        clients.push(client);
    }
    tokio::time::sleep(INTERVAL * 3).await;
    for client in &clients {
        client
            .unsubscribe("nothing")
            .await
            .expect("it is still there");
    }
    gateway.end(clients).await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_closed() {
    let gateway = pinging_gateway().await;
    for format in FORMATS {
        let mut options = Options::new(format);
        options.pong = false;
        let client = Client::open_with(&gateway.url(), options).await;
        let client = client.expect("the handshake succeeds");
        client
            .connect(ConnectRequest::default())
            .await
            .expect("it may");
        assert_eq!(close_code(&client).await, 3012);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_pong_without_a_ping_ends_the_connection() {
    let gateway = TestGateway::start(|config| {
        config.channel.without_namespace.allow_subscribe_for_client = true;
    })
    .await;
    for pong in ["{}", r#"{"subscribe":{"channel":"a"}}"#, r#"{"id":0}"#] {
        let mut socket = gateway.json_user("alice").await;
        socket.send(pong).await;
        assert_eq!(socket.closed().await, 3501, "{pong}");
    }
    let client = gateway.user(Format::Protobuf, "alice").await;
    client.send_frame(vec![0]).await.expect("it is sent");
    assert_eq!(close_code(&client).await, 3501);
    gateway.end(()).await;
}

#[tokio::test]
async fn one_pong_answers_one_ping() {
    let gateway = pinging_gateway().await;
    let mut socket = gateway.json().await;
    socket.ask(json!({ "connect": {} })).await;
    assert_eq!(socket.next().await, json!({}));
    // Any command without an id is a pong, and is not carried out.
    socket.send(r#"{"publish":{"channel":"","data":1}}"#).await;
    assert_eq!(socket.next().await, json!({}), "the next ping");
    socket.send("{}\n{}").await;
    assert_eq!(socket.closed().await, 3501, "the second answers nothing");
    gateway.end(socket).await;
}

#[tokio::test]
async fn native_pings_replace_those_of_the_protocol() {
    let gateway = pinging_gateway().await;
    let url = gateway.url() + "?cf_ws_frame_ping_pong=true";
    let socket = client::Socket::open(&url, &Options::new(Format::Json)).await;
    let mut socket = JsonSocket::new(socket.expect("the handshake succeeds"));
    let reply = socket.ask(json!({ "connect": {} })).await;
    let connect = &reply["connect"];
    assert!(
        connect["ping"].is_null() && connect["pong"].is_null(),
        "{reply}"
    );
    for _ in 0..2 {
        let frame = socket.socket.next_frame().await.expect("a ping");
        assert_eq!(frame, Frame::Ping);
    }
    socket
        .ask(json!({ "unsubscribe": { "channel": "nothing" } }))
        .await;
    gateway.end(socket).await;
}

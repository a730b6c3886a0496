//! Whatever a client sends, the gateway lives, and says goodbye in one of its ways.

use client::{Error, Frame, Socket};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{Format, encode_command};

use crate::support::{SOON, TestGateway, subscribing, token, with_token};

const FRAMES: usize = 300;

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        let options = &mut config.channel.without_namespace;
        options.allow_subscribe_for_client = true;
        options.allow_publish_for_client = true;
    })
    .await
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// Text that is almost JSON of the protocol.
fn almost_json() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u",
        "\n",
        "null",
        "true",
        "-",
        "1e999",
        "0",
        "18446744073709551616",
        "\"id\":",
        "\"id\":2",
        "\"subscribe\":",
        "\"channel\":\"a\"",
        "\"publish\":",
        "\"data\":",
        "\"connect\":",
        "\"refresh\":{\"token\":\"\"}",
        "\"rpc\":{}",
        "\"history\":{\"channel\":\"a\",\"limit\":-9}",
        "\u{7f}é\u{1f600}",
        "\\ud800",
    ]);
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A good command with some bytes changed.
fn broken_protobuf() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    changes.prop_map(|changes| {
        let command = wire::Command {
            id: 2,
            request: Some(wire::Request::Subscribe(subscribing("channel"))),
        };
        let mut frame = Vec::new();
        encode_command(Format::Protobuf, &command, &mut frame).expect("it can be encoded");
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame
    })
}

/// Sends frames over as many connections as they cost.
async fn attack(gateway: &TestGateway, format: Format, frames: impl Strategy<Value = Vec<u8>>) {
    let mut runner = TestRunner::new(Config::default());
    let mut socket = None;
    for _ in 0..FRAMES {
        let frame = frames.new_tree(&mut runner).expect("a value").current();
        let mut open: Socket = match socket.take() {
            Some(socket) => socket,
            None => connected(gateway, format).await,
        };
        let description = format!("{:?}", String::from_utf8_lossy(&frame));
        if open.send_frame(frame).await.is_err() {
            continue;
        }
        // Something that is answered, if it lives.
        let probe = wire::Command {
            id: 4_000_000_000,
            request: Some(wire::Request::Unsubscribe(wire::UnsubscribeRequest {
                channel: "nothing".to_owned(),
            })),
        };
        if open.send_commands(&[probe]).await.is_err() {
            continue;
        }
        socket = loop {
            match open.next_replies().await {
                Ok(replies) if replies.iter().any(|one| one.id == 4_000_000_000) => {
                    break Some(open);
                }
                Ok(_) => {}
                Err(Error::Closed(closed)) => {
                    let known =
                        matches!(closed.code, 1002 | 1003 | 1006 | 1007 | 1009 | 3000..=3999);
                    assert!(known, "{description}: {closed}");
                    assert!(closed.code != 3004, "{description}: {closed}");
                    break None;
                }
                Err(error) => panic!("{description}: {error}"),
            }
        };
    }
}

async fn connected(gateway: &TestGateway, format: Format) -> Socket {
    let mut socket = gateway.socket(format).await;
    let connect = wire::Command {
        id: 1,
        request: Some(wire::Request::Connect(with_token(&token(
            &json!({ "sub": "a" }),
        )))),
    };
    socket.send_commands(&[connect]).await.expect("it is sent");
    socket.next_replies().await.expect("it is connected");
    socket
}

#[tokio::test]
async fn any_bytes_as_protobuf() {
    let gateway = gateway().await;
    attack(&gateway, Format::Protobuf, bytes()).await;
    attack(&gateway, Format::Protobuf, broken_protobuf()).await;
    gateway.end(()).await;
}

#[tokio::test]
async fn any_text_as_json() {
    let gateway = gateway().await;
    attack(&gateway, Format::Json, almost_json()).await;
    let text = any::<String>().prop_map(String::into_bytes);
    attack(&gateway, Format::Json, text).await;
    gateway.end(()).await;
}

/// Below the frames: what follows the handshake is anything.
#[tokio::test]
async fn any_bytes_as_websocket() {
    let gateway = gateway().await;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..FRAMES / 3 {
        let bytes = bytes().new_tree(&mut runner).expect("a value").current();
        let mut stream = TcpStream::connect(gateway.gateway().address())
            .await
            .expect("it listens");
        let head = "GET /connection/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        // Together: the first frames may arrive with the handshake.
        let mut request = head.as_bytes().to_vec();
        request.extend_from_slice(&bytes);
        stream.write_all(&request).await.expect("it is sent");
        stream.shutdown().await.expect("it is sent");
        let mut answer = Vec::new();
        // A reset is an answer too.
        let _read_or_reset = tokio::time::timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .expect("the connection ends");
    }
    let mut good = connected(&gateway, Format::Json).await;
    good.close(1000).await.expect("it is sent");
    assert!(matches!(good.next_frame().await, Ok(Frame::Closed(_))));
    gateway.end(good).await;
}

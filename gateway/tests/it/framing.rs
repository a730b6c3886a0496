//! Frames: how commands and replies lie in them, and what is no frame.

use client::Frame;
use runtime::config::Timespan;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use wire::{Command, Format, ReplyBody, Request};

use crate::support::{JsonSocket, TestGateway, subscribing, token, with_token};

async fn open_gateway() -> TestGateway {
    TestGateway::start(|config| {
        let options = &mut config.channel.without_namespace;
        options.allow_subscribe_for_client = true;
        options.allow_publish_for_client = true;
    })
    .await
}

#[tokio::test]
async fn commands_of_one_frame_are_answered_in_order() {
    let gateway = open_gateway().await;
    let mut socket = gateway.json().await;
    let token = token(&json!({ "sub": "alice" }));
    let commands = [
        json!({ "id": 7, "connect": { "token": token } }).to_string(),
        r#"{"id":8,"subscribe":{"channel":"a"}}"#.to_owned(),
        r#"{"id":9,"publish":{"channel":"a","data":{"n":1}}}"#.to_owned(),
        r#"{"id":10,"unsubscribe":{"channel":"a"}}"#.to_owned(),
    ];
    // A newline at the end is allowed.
    socket.send(commands.join("\n") + "\n").await;
    let mut ids = Vec::new();
    let mut publications = 0;
    while ids.len() < 4 {
        let message = socket.next().await;
        match message["id"].as_u64() {
            Some(id) => ids.push(id),
            None => publications += 1,
        }
    }
    assert_eq!((ids, publications), (vec![7, 8, 9, 10], 1));
    gateway.end(socket).await;
}

#[tokio::test]
async fn replies_are_as_short_as_they_can_be() {
    let gateway = open_gateway().await;
    let mut socket = gateway.json_user("alice").await;
    let cases = [
        (
            json!({ "subscribe": { "channel": "a" } }),
            json!({ "subscribe": {} }),
        ),
        (
            json!({ "unsubscribe": { "channel": "a" } }),
            json!({ "unsubscribe": {} }),
        ),
        (
            json!({ "publish": { "channel": "a", "data": {} } }),
            json!({ "publish": {} }),
        ),
        (
            json!({ "history": { "channel": "a" } }),
            json!({ "error": { "code": 108, "message": "not available" } }),
        ),
    ];
    for (command, mut expected) in cases {
        let reply = socket.ask(command).await;
        expected["id"] = reply["id"].clone();
        assert_eq!(reply, expected);
    }
    gateway.end(socket).await;
}

#[tokio::test]
async fn an_unknown_field_is_ignored() {
    let gateway = open_gateway().await;
    let mut socket = gateway.json_user("alice").await;
    let command = json!({ "subscribe": { "channel": "a", "new": { "b": [1] } }, "more": null });
    let reply = socket.ask(command).await;
    assert!(reply["subscribe"].is_object(), "{reply}");
    gateway.end(socket).await;
}

#[tokio::test]
async fn what_is_no_command_ends_the_connection() {
    let gateway = open_gateway().await;
    for bad in [
        "",
        "\n",
        "nonsense",
        "[]",
        "null",
        "1",
        "{",
        r#"{"id":1"#,
        r#"{"id":-1}"#,
        r#"{"id":5}"#,
        r#"{"id":"1","subscribe":{"channel":"a"}}"#,
        r#"{"id":2,"subscribe":[]}"#,
        r#"{"id":2,"subscribe":{"channel":7}}"#,
        "{}{}",
    ] {
        let mut socket = gateway.json_user("alice").await;
        socket.send(bad).await;
        assert_eq!(socket.closed().await, 3501, "{bad:?}");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn what_comes_before_nonsense_is_still_carried_out() {
    let gateway = open_gateway().await;
    let mut socket = gateway.json_user("alice").await;
    socket
        .send("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\nnonsense")
        .await;
    assert_eq!(socket.next().await["id"], 2);
    assert_eq!(socket.closed().await, 3501);
    gateway.end(()).await;
}

#[tokio::test]
async fn protobuf_messages_are_prefixed_by_their_length() {
    let gateway = open_gateway().await;
    let mut socket = gateway.socket(Format::Protobuf).await;
    let commands = [
        Command {
            id: 1,
            request: Some(Request::Connect(with_token(&token(&json!({ "sub": "a" }))))),
        },
        Command {
            id: 300,
            request: Some(Request::Subscribe(subscribing("a"))),
        },
    ];
    socket.send_commands(&commands).await.expect("it is sent");
    let mut replies = Vec::new();
    while replies.len() < 2 {
        replies.extend(socket.next_replies().await.expect("replies"));
    }
    assert!(
        matches!(replies[0].body, ReplyBody::Connect(_)),
        "{replies:?}"
    );
    assert_eq!(replies[1].id, 300);
    assert!(matches!(replies[1].body, ReplyBody::Subscribe(_)));
    gateway.end(socket).await;
}

#[tokio::test]
async fn bad_protobuf_ends_the_connection() {
    let gateway = open_gateway().await;
    let cases: [&[u8]; 6] = [
        &[],
        // Shorter than it says; a length beyond all memory; a length without end.
        &[5, 1],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xff; 20],
        // A field of a wrong type; a tag of 0.
        &[3, 0x22, 0x7f, 0x01],
        &[2, 0, 0],
    ];
    for bad in cases {
        let mut socket = gateway.socket(Format::Protobuf).await;
        socket.send_frame(bad.to_vec()).await.expect("it is sent");
        assert_eq!(
            socket.closed().await.expect("it ends").code,
            3501,
            "{bad:?}"
        );
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_too_big() {
    let gateway = TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
    })
    .await;
    for format in crate::support::FORMATS {
        let mut socket = gateway.socket(format).await;
        socket
            .send_frame(vec![b' '; 65_537])
            .await
            .expect("it is sent");
        assert_eq!(socket.closed().await.expect("it ends").code, 1009);
    }
    // At the limit all is well.
    let mut socket = JsonSocket::new(gateway.socket(Format::Json).await);
    let padding = " ".repeat(65_536 - r#"{"id":1,"connect":{}}"#.len());
    socket
        .send(r#"{"id":1,"connect":{}"#.to_owned() + &padding + "}")
        .await;
    assert!(socket.next().await["connect"].is_object());
    gateway.end(socket).await;
}

#[tokio::test]
async fn a_message_may_come_in_fragments_and_pings_between() {
    let gateway = open_gateway().await;
    let mut socket = gateway.json_user("alice").await;
    let parts: [(&str, Data, bool); 3] = [
        (r#"{"id":2,"subscr"#, Data::Text, false),
        (r#"ibe":{"chan"#, Data::Continue, false),
        (r#"nel":"a"}}"#, Data::Continue, true),
    ];
    for (text, kind, last) in parts {
        let frame = RawFrame::message(text, OpCode::Data(kind), last);
        socket
            .socket
            .send_message(Message::Frame(frame))
            .await
            .expect("it is sent");
        socket
            .socket
            .send_message(Message::Ping("x".into()))
            .await
            .expect("it is sent");
    }
    assert_eq!(socket.next().await["id"], 2);
    gateway.end(socket).await;
}

#[tokio::test]
async fn text_that_is_no_utf8_is_refused() {
    let gateway = open_gateway().await;
    let mut socket = gateway.socket(Format::Json).await;
    let message = b"{\"id\":1,\"connect\":{\"name\":\"\xff\"}}";
    let frame = RawFrame::message(message.to_vec(), OpCode::Data(Data::Text), true);
    socket
        .send_message(Message::Frame(frame))
        .await
        .expect("it is sent");
    let code = socket.closed().await.expect("it ends").code;
    assert!(matches!(code, 1007 | 3501), "{code}");
    gateway.end(()).await;
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let gateway = TestGateway::start(|config| {
        config.client.stale_close_delay = Timespan::from_secs(60);
    })
    .await;
    let mut socket = gateway.socket(Format::Json).await;
    socket.close(1000).await.expect("it is sent");
    let frame = socket.next_frame().await.expect("the answer");
    let Frame::Closed(closed) = frame else {
        panic!("{frame:?}");
    };
    assert_eq!(closed.code, 1000);
    gateway.end(socket).await;
}

//! `publish`: who may, what, and what subscribers get.

use gateway::config::PublicationDataFormat;
use serde_json::{Value, json};
use wire::{ConnectRequest, Format, PublishRequest, Request};

use crate::support::{FORMATS, TestGateway, closes, namespace, publication, refused, with_history};

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
            options.allow_publish_for_client = true;
        });
        namespace(config, "members", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
            options.allow_publish_for_subscriber = true;
        });
        namespace(config, "anybody", |options| {
            options.allow_publish_for_client = true;
            options.allow_publish_for_anonymous = true;
        });
        namespace(config, "silent", |options| {
            options.allow_subscribe_for_client = true;
        });
        namespace(config, "kept", |options| {
            with_history(options, 10);
            options.allow_subscribe_for_client = true;
            options.allow_publish_for_client = true;
        });
        for (name, format) in [
            ("json", PublicationDataFormat::Json),
            ("object", PublicationDataFormat::JsonObject),
            ("binary", PublicationDataFormat::Binary),
        ] {
            namespace(config, name, |options| {
                options.allow_subscribe_for_client = true;
                options.allow_publish_for_client = true;
                options.publication_data_format = format;
            });
        }
    })
    .await
}

#[tokio::test]
async fn a_publication_reaches_everybody_in_both_formats() {
    let gateway = gateway().await;
    let claims = json!({ "sub": "alice", "info": { "name": "Alice" } });
    let (mut alice, connected) = gateway.connected(Format::Json, &claims).await;
    let mut bob = gateway.user(Format::Protobuf, "bob").await;
    let mut carol = gateway.user(Format::Json, "carol").await;
    for client in [&alice, &bob, &carol] {
        client.subscribe("open:room").await.expect("it may");
    }
    alice
        .publish("open:room", r#"{ "text": "é" }"#)
        .await
        .expect("it may");
    for client in [&mut alice, &mut bob, &mut carol] {
        let one = publication(client, "open:room").await;
        let data: Value = serde_json::from_slice(&one.data).expect("JSON");
        assert_eq!(data, json!({ "text": "é" }));
        let info = one.info.expect("a client published it");
        assert_eq!((&*info.user, &*info.client), ("alice", &*connected.client));
        assert_eq!(&*info.conn_info, br#"{"name":"Alice"}"#);
        assert_eq!((one.offset, &*one.epoch), (0, ""));
    }
    gateway.end((alice, bob, carol)).await;
}

#[tokio::test]
async fn a_publication_as_it_is_in_json() {
    let gateway = gateway().await;
    let mut socket = gateway.json_user("alice").await;
    socket
        .ask(json!({ "subscribe": { "channel": "kept:a" } }))
        .await;
    // A line break within a payload would end the message.
    socket
        .send("{\"id\":9,\"publish\":{\"channel\":\"kept:a\",\"data\":[1,\r\t2]}}")
        .await;
    let (mut reply, mut push) = (socket.next().await, socket.next().await);
    if reply["id"].is_null() {
        std::mem::swap(&mut reply, &mut push);
    }
    assert_eq!(reply, json!({ "id": 9, "publish": {} }));
    let info = &push["push"]["pub"]["info"];
    assert_eq!(info["user"], "alice");
    let epoch = &push["push"]["pub"]["epoch"];
    assert!(epoch.is_string());
    let mut expected = json!({
        "channel": "kept:a",
        "pub": { "data": [1, 2], "info": info, "offset": 1, "epoch": epoch },
    });
    // Whether the time is told is the server's business.
    if let Some(time) = push["push"]["pub"].get("time") {
        expected["pub"]["time"] = time.clone();
    }
    assert_eq!(push, json!({ "push": expected }));
    gateway.end(socket).await;
}

#[tokio::test]
async fn channel_info_of_the_publisher_is_shown() {
    let gateway = gateway().await;
    let mut alice = gateway.user(Format::Json, "alice").await;
    let claims = json!({ "sub": "alice", "channel": "open:room", "info": { "role": "admin" } });
    let subscribe = wire::SubscribeRequest {
        token: crate::support::token(&claims),
        ..crate::support::subscribing("open:room")
    };
    alice.subscribe_with(subscribe).await.expect("it opens");
    alice.publish("open:room", "1").await.expect("it may");
    let info = publication(&mut alice, "open:room")
        .await
        .info
        .expect("the publisher");
    assert_eq!(&*info.chan_info, br#"{"role":"admin"}"#);
    gateway.end(alice).await;
}

#[tokio::test]
async fn who_may_publish() {
    let gateway = gateway().await;
    let alice = gateway.user(Format::Json, "alice").await;
    alice.publish("open:a", "1").await.expect("it may");
    assert_eq!(refused(alice.publish("members:a", "1").await), 103);
    alice.subscribe("members:a").await.expect("it may");
    alice
        .publish("members:a", "1")
        .await
        .expect("it is a subscriber now");
    alice.subscribe("silent:a").await.expect("it may");
    assert_eq!(refused(alice.publish("silent:a", "1").await), 103);
    assert_eq!(refused(alice.publish("unknown:a", "1").await), 102);
    assert_eq!(refused(alice.publish(&"a".repeat(256), "1").await), 107);
    assert_eq!(refused(alice.publish("open:ü", "1").await), 107);

    let nobody = gateway.open(Format::Json).await;
    nobody
        .connect(ConnectRequest::default())
        .await
        .expect("it may");
    assert_eq!(refused(nobody.publish("open:a", "1").await), 103);
    nobody.subscribe("members:a").await.expect("it may");
    assert_eq!(refused(nobody.publish("members:a", "1").await), 103);
    nobody.publish("anybody:a", "1").await.expect("it may");
    gateway.end((alice, nobody)).await;
}

#[tokio::test]
async fn what_may_be_published() {
    let gateway = gateway().await;
    let client = gateway.user(Format::Protobuf, "alice").await;
    let cases: [(&str, &[u8], bool); 13] = [
        ("open:a", b"", false),
        ("open:a", b"\xff", true),
        ("json:a", b"", false),
        ("json:a", b"{", false),
        ("json:a", b"\xff", false),
        ("json:a", b"null", true),
        ("json:a", b" [1] ", true),
        ("object:a", b"[1]", false),
        ("object:a", b"{", false),
        ("object:a", b"{\"a\":1}", true),
        ("object:a", b" {}", true),
        ("binary:a", b"", true),
        ("binary:a", b"\x00\xff", true),
    ];
    for (channel, data, good) in cases {
        let answer = client.publish(channel, data.to_vec()).await;
        if good {
            answer.unwrap_or_else(|error| panic!("{channel} {data:?}: {error}"));
        } else {
            assert_eq!(refused(answer), 107, "{channel} {data:?}");
        }
    }
    let map = PublishRequest {
        channel: "open:a".to_owned(),
        data: "1".into(),
        r#type: 1,
        key: "k".to_owned(),
        removed: false,
    };
    let answer = client.call(Request::Publish(map)).await;
    assert!(matches!(refused(answer), 103 | 107 | 108));
    gateway.end(client).await;
}

#[tokio::test]
async fn without_a_channel_the_connection_ends() {
    let gateway = gateway().await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        let publish = Request::Publish(PublishRequest {
            data: "1".into(),
            ..PublishRequest::default()
        });
        assert_eq!(closes(&client, publish).await, 3501);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn bytes_that_are_no_json_cannot_reach_a_json_client() {
    let gateway = gateway().await;
    let mut binary = gateway.user(Format::Protobuf, "alice").await;
    let json = gateway.user(Format::Json, "bob").await;
    binary.subscribe("open:a").await.expect("it may");
    json.subscribe("open:a").await.expect("it may");
    binary
        .publish("open:a", vec![0, 255])
        .await
        .expect("it may");
    assert_eq!(&*publication(&mut binary, "open:a").await.data, [0, 255]);
    assert_eq!(crate::support::close_code(&json).await, 3506);
    gateway.end((binary, json)).await;
}

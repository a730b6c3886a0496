//! Subscriptions that the server makes: by token, by name, by the server API.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wire::{ConnectRequest, ConnectResult, Format, PushBody, Request, SubscribeRequest};

use crate::support::{
    FORMATS, TestGateway, close_code, closes, namespace, publication, subscribing, token, unix,
    unsubscribed, with_history, with_token,
};

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        config.channel.without_namespace.allow_user_limited_channels = true;
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
        });
        namespace(config, "closed", |options| options.presence = true);
        namespace(config, "kept", |options| {
            with_history(options, 10);
            options.force_recovery = true;
        });
        namespace(config, "joins", |options| {
            options.presence = true;
            options.join_leave = true;
            options.force_push_join_leave = true;
            options.allow_subscribe_for_client = true;
        });
    })
    .await
}

fn channels(result: &ConnectResult) -> Vec<&str> {
    result.subs.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_token_names_channels() {
    let gateway = gateway().await;
    for format in FORMATS {
        let claims = json!({ "sub": "alice", "channels": ["closed:b", "closed:a"] });
        let (mut client, result) = gateway.connected(format, &claims).await;
        assert_eq!(channels(&result), ["closed:a", "closed:b"]);
        assert_eq!(gateway.gateway().holds(), (1, 2, 2));
        gateway
            .api_ok("publish", &json!({ "channel": "closed:a", "data": 1 }))
            .await;
        publication(&mut client, "closed:a").await;
        assert_eq!(
            crate::support::refused(client.subscribe("closed:a").await),
            105
        );
        drop(client);
        gateway.is_empty().await;
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_token_says_more_of_its_channels() {
    let gateway = gateway().await;
    let claims = json!({
        "sub": "alice",
        "channels": ["open:ignored"],
        "subs": {
            "closed:a": { "info": { "role": 1 }, "data": { "welcome": true } },
            "closed:b": { "override": { "presence": { "value": false } } },
        },
    });
    let (client, result) = gateway.connected(Format::Json, &claims).await;
    assert_eq!(
        channels(&result),
        ["closed:a", "closed:b"],
        "subs come before channels"
    );
    assert_eq!(&*result.subs["closed:a"].data, br#"{"welcome":true}"#);
    let presence = gateway
        .api_ok("presence", &json!({ "channel": "closed:a" }))
        .await;
    assert_eq!(
        presence["presence"][&result.client]["chan_info"],
        json!({ "role": 1 })
    );
    let presence = gateway
        .api_ok("presence", &json!({ "channel": "closed:b" }))
        .await;
    assert_eq!(presence, json!({ "presence": {} }));
    gateway.end(client).await;
}

#[tokio::test]
async fn more_channels_than_are_allowed() {
    let gateway = TestGateway::start(|config| config.client.channel_limit = 2).await;
    let client = gateway.open(Format::Json).await;
    let claims = json!({ "sub": "alice", "channels": ["a", "b", "c"] });
    let connect = Request::Connect(with_token(&token(&claims)));
    assert_eq!(closes(&client, connect).await, 3505);
    gateway.end(client).await;
}

#[tokio::test]
async fn everybody_has_a_channel_of_their_own() {
    let gateway = TestGateway::start(|config| {
        config.client.subscribe_to_user_personal_channel.enabled = true;
        config
            .client
            .subscribe_to_user_personal_channel
            .personal_channel_namespace = "user".to_owned();
        namespace(config, "user", |_| {});
    })
    .await;
    let (mut client, result) = gateway
        .connected(Format::Json, &json!({ "sub": "7" }))
        .await;
    assert_eq!(channels(&result), ["user:#7"]);
    gateway
        .api_ok("publish", &json!({ "channel": "user:#7", "data": {} }))
        .await;
    publication(&mut client, "user:#7").await;
    let (nobody, result) = gateway.connected(Format::Json, &json!({ "sub": "" })).await;
    assert_eq!(channels(&result), [""; 0]);
    gateway.end((client, nobody)).await;
}

#[tokio::test]
async fn a_client_may_name_channels_in_connect() {
    let gateway = gateway().await;
    let subs = ["open:a", "closed:a", "#alice", "#bob", "$open:a", "open:ü"];
    let request = ConnectRequest {
        subs: subs
            .iter()
            .map(|&name| (name.to_owned(), SubscribeRequest::default()))
            .collect(),
        ..with_token(&token(&json!({ "sub": "alice" })))
    };
    for format in FORMATS {
        let client = gateway.open(format).await;
        let result = client
            .connect(request.clone())
            .await
            .expect("the token is good");
        assert_eq!(
            channels(&result),
            ["#alice", "open:a"],
            "the others are ignored"
        );
    }
    let client = gateway.open(Format::Json).await;
    let unknown = ConnectRequest {
        subs: BTreeMap::from([("unknown:a".to_owned(), SubscribeRequest::default())]),
        ..with_token(&token(&json!({ "sub": "alice" })))
    };
    assert_eq!(closes(&client, Request::Connect(unknown)).await, 3501);
    gateway.end(client).await;
}

#[tokio::test]
async fn server_side_subscriptions_recover_in_connect() {
    let gateway = gateway().await;
    for n in 1..=4 {
        gateway
            .api_ok("publish", &json!({ "channel": "kept:a", "data": n }))
            .await;
    }
    let claims = json!({ "sub": "alice", "channels": ["kept:a"] });
    let (client, result) = gateway.connected(Format::Json, &claims).await;
    let first = &result.subs["kept:a"];
    assert!(first.recoverable && first.positioned && !first.was_recovering);
    assert_eq!((first.offset, first.publications.len()), (4, 0));
    for format in FORMATS {
        let mut again = gateway.open(format).await;
        let recover = SubscribeRequest {
            recover: true,
            offset: 2,
            epoch: first.epoch.clone(),
            ..SubscribeRequest::default()
        };
        let request = ConnectRequest {
            subs: BTreeMap::from([("kept:a".to_owned(), recover)]),
            ..with_token(&token(&claims))
        };
        let result = again.connect(request).await.expect("the token is good");
        let second = &result.subs["kept:a"];
        assert!(second.recovered && second.was_recovering);
        let offsets: Vec<_> = second.publications.iter().map(|one| one.offset).collect();
        let top = gateway
            .api_ok("publish", &json!({ "channel": "kept:a", "data": 0 }))
            .await;
        let expected: Vec<u64> = (3..top["offset"].as_u64().expect("an offset")).collect();
        assert_eq!((offsets, second.offset), (expected, 2));
        assert_eq!(
            publication(&mut again, "kept:a").await.offset,
            top["offset"]
        );
    }
    gateway.end(client).await;
}

#[tokio::test]
async fn joins_of_server_side_subscriptions_follow_the_reply() {
    let gateway = gateway().await;
    let claims = json!({ "sub": "alice", "channels": ["joins:a"] });
    let (mut client, result) = gateway.connected(Format::Json, &claims).await;
    let push = client.next_push().await.expect("its own join");
    let PushBody::Join(join) = push.body else {
        panic!("{push:?}");
    };
    assert_eq!(join.info.client, result.client);
    gateway.end(client).await;
}

#[tokio::test]
async fn the_api_subscribes_and_unsubscribes() {
    let gateway = gateway().await;
    for format in FORMATS {
        let mut client = gateway.user(format, "alice").await;
        let mut other = gateway.user(format, "bob").await;
        let params = json!({
            "user": "alice", "channel": "kept:api", "data": { "hello": 1 }, "info": { "a": 1 },
        });
        assert_eq!(gateway.api_ok("subscribe", &params).await, json!({}));
        let push = client.next_push().await.expect("a subscribe push");
        assert_eq!(push.channel, "kept:api");
        let PushBody::Subscribe(subscribe) = push.body else {
            panic!("{:?}", push.body);
        };
        assert!(subscribe.recoverable && subscribe.positioned && !subscribe.epoch.is_empty());
        assert_eq!(&*subscribe.data, br#"{"hello":1}"#);
        gateway
            .api_ok("publish", &json!({ "channel": "kept:api", "data": 1 }))
            .await;
        publication(&mut client, "kept:api").await;
        let unsubscribe = json!({ "user": "alice", "channel": "kept:api" });
        gateway.api_ok("unsubscribe", &unsubscribe).await;
        assert_eq!(unsubscribed(&mut client, "kept:api").await, 2000);
        crate::support::nothing_comes(&mut other).await;
        drop((client, other));
        gateway.is_empty().await;
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn an_unsubscribe_push_as_it_is_in_json() {
    let gateway = gateway().await;
    let mut socket = gateway.json_user("alice").await;
    socket
        .ask(json!({ "subscribe": { "channel": "open:a" } }))
        .await;
    gateway
        .api_ok(
            "unsubscribe",
            &json!({ "user": "alice", "channel": "open:a" }),
        )
        .await;
    let unsubscribe = json!({ "code": 2000, "reason": "server unsubscribe" });
    let expected = json!({ "push": { "channel": "open:a", "unsubscribe": unsubscribe } });
    assert_eq!(socket.next().await, expected);
    gateway.end(socket).await;
}

#[tokio::test]
async fn the_api_disconnects() {
    let gateway = gateway().await;
    let cases: [(Value, u16, &str); 2] = [
        (json!({}), 3503, "force disconnect"),
        (
            json!({ "disconnect": { "code": 4500, "reason": "banned" } }),
            4500,
            "banned",
        ),
    ];
    for (more, code, reason) in cases {
        let alice = gateway.user(Format::Json, "alice").await;
        let second = gateway.user(Format::Protobuf, "alice").await;
        let (spared, connected) = gateway
            .connected(Format::Json, &json!({ "sub": "alice" }))
            .await;
        let bob = gateway.user(Format::Json, "bob").await;
        let mut params = json!({ "user": "alice", "whitelist": [connected.client] });
        for (key, value) in more.as_object().expect("an object") {
            params[key] = value.clone();
        }
        gateway.api_ok("disconnect", &params).await;
        for client in [alice, second] {
            let closed = client.closed().await.expect("it is closed");
            assert_eq!((closed.code, &*closed.reason), (code, reason));
        }
        bob.unsubscribe("nothing").await.expect("it is still there");
        spared
            .unsubscribe("nothing")
            .await
            .expect("it is still there");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn one_connection_of_a_user_is_named_by_its_client_id() {
    let gateway = gateway().await;
    let (first, connected) = gateway
        .connected(Format::Json, &json!({ "sub": "alice" }))
        .await;
    let second = gateway.user(Format::Json, "alice").await;
    let params = json!({ "user": "alice", "client": connected.client });
    gateway.api_ok("disconnect", &params).await;
    assert_eq!(close_code(&first).await, 3503);
    second
        .unsubscribe("nothing")
        .await
        .expect("it is still there");
    gateway.end((first, second)).await;
}

#[tokio::test]
async fn the_api_prolongs_and_expires() {
    let gateway = gateway().await;
    let mut client = gateway.user(Format::Json, "alice").await;
    let params = json!({ "user": "alice", "expire_at": unix(600) });
    gateway.api_ok("refresh", &params).await;
    let push = client.next_push().await.expect("a refresh push");
    let PushBody::Refresh(refresh) = push.body else {
        panic!("{push:?}");
    };
    assert!(refresh.expires && (590..=600).contains(&refresh.ttl));
    gateway
        .api_ok("refresh", &json!({ "user": "alice", "expired": true }))
        .await;
    assert_eq!(close_code(&client).await, 3005);
    gateway.end(client).await;
}

#[tokio::test]
async fn a_server_side_subscription_that_expires_ends_the_connection() {
    let gateway = TestGateway::start(|config| {
        config.client.expired_sub_close_delay = runtime::config::Timespan::ZERO;
    })
    .await;
    let mut client = gateway.user(Format::Json, "alice").await;
    let params = json!({ "user": "alice", "channel": "a", "expire_at": unix(2) });
    gateway.api_ok("subscribe", &params).await;
    client.next_push().await.expect("a subscribe push");
    assert_eq!(close_code(&client).await, 3006);
    gateway.end(client).await;
}

#[tokio::test]
async fn a_client_subscribes_beside_the_server() {
    let gateway = gateway().await;
    let claims = json!({ "sub": "alice", "channels": ["closed:a"] });
    let (mut client, _) = gateway.connected(Format::Json, &claims).await;
    client
        .subscribe_with(subscribing("open:a"))
        .await
        .expect("it may");
    let channels = json!(["closed:a", "open:a"]);
    gateway
        .api_ok("broadcast", &json!({ "channels": channels, "data": 1 }))
        .await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(client.next_push().await.expect("a publication").channel);
    }
    seen.sort();
    assert_eq!(seen, ["closed:a", "open:a"]);
    gateway.end(client).await;
}

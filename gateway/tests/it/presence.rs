//! Presence, and who comes and goes.

use serde_json::json;
use wire::{
    Format, PresenceRequest, PresenceStatsRequest, Push, PushBody, Request, SubscribeRequest,
};

use crate::support::{
    FORMATS, TestGateway, closes, namespace, nothing_comes, publication, refused, subscribing,
    token,
};

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        namespace(config, "room", |options| {
            options.presence = true;
            options.join_leave = true;
            options.allow_subscribe_for_client = true;
            options.allow_publish_for_client = true;
            options.allow_presence_for_client = true;
        });
        namespace(config, "members", |options| {
            options.presence = true;
            options.allow_subscribe_for_client = true;
            options.allow_presence_for_subscriber = true;
        });
        namespace(config, "pushed", |options| {
            options.join_leave = true;
            options.force_push_join_leave = true;
            options.allow_subscribe_for_client = true;
        });
        namespace(config, "secret", |options| {
            options.presence = true;
            options.join_leave = true;
            options.allow_subscribe_for_client = true;
        });
        namespace(config, "none", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_presence_for_client = true;
        });
    })
    .await
}

fn with_joins(channel: &str) -> SubscribeRequest {
    SubscribeRequest {
        join_leave: true,
        ..subscribing(channel)
    }
}

#[track_caller]
fn joined(push: Push) -> wire::ClientInfo {
    match push.body {
        PushBody::Join(join) => join.info,
        other => panic!("a join is expected, not {other:?}"),
    }
}

#[track_caller]
fn left(push: Push) -> wire::ClientInfo {
    match push.body {
        PushBody::Leave(leave) => leave.info,
        other => panic!("a leave is expected, not {other:?}"),
    }
}

#[tokio::test]
async fn presence_is_by_client_with_its_info() {
    let gateway = gateway().await;
    let claims = json!({ "sub": "alice", "info": { "name": "Alice" } });
    let (alice, connected) = gateway.connected(Format::Json, &claims).await;
    let again = gateway.user(Format::Protobuf, "alice").await;
    let watcher = gateway.user(Format::Json, "bob").await;
    let empty = watcher.presence("room:a").await.expect("it may");
    assert!(empty.presence.is_empty());
    let claims = json!({ "sub": "alice", "channel": "room:a", "info": 7 });
    let with_info = SubscribeRequest {
        token: token(&claims),
        ..subscribing("room:a")
    };
    alice.subscribe_with(with_info).await.expect("it opens");
    again.subscribe("room:a").await.expect("it may");
    let present = watcher.presence("room:a").await.expect("it may").presence;
    assert_eq!(present.len(), 2);
    let info = &present[&connected.client];
    assert_eq!((&*info.user, &info.client), ("alice", &connected.client));
    assert_eq!(&*info.conn_info, br#"{"name":"Alice"}"#);
    assert_eq!(&*info.chan_info, b"7");
    let stats = watcher.presence_stats("room:a").await.expect("it may");
    assert_eq!((stats.num_clients, stats.num_users), (2, 1));
    again.unsubscribe("room:a").await.expect("always");
    let stats = watcher.presence_stats("room:a").await.expect("it may");
    assert_eq!((stats.num_clients, stats.num_users), (1, 1));
    gateway.end((alice, again, watcher)).await;
}

#[tokio::test]
async fn presence_of_nobody_is_written_out_in_json() {
    let gateway = gateway().await;
    let mut socket = gateway.json_user("alice").await;
    let reply = socket
        .ask(json!({ "presence": { "channel": "room:a" } }))
        .await;
    assert_eq!(
        reply,
        json!({ "id": reply["id"], "presence": { "presence": {} } })
    );
    let reply = socket
        .ask(json!({ "presence_stats": { "channel": "room:a" } }))
        .await;
    let stats = json!({ "num_clients": 0, "num_users": 0 });
    assert_eq!(reply, json!({ "id": reply["id"], "presence_stats": stats }));
    gateway.end(socket).await;
}

#[tokio::test]
async fn who_may_not_see_who_is_present() {
    let gateway = gateway().await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        for (channel, code) in [
            ("unknown:a", 102),
            ("none:a", 108),
            ("members:a", 103),
            ("secret:a", 103),
        ] {
            assert_eq!(refused(client.presence(channel).await), code, "{channel}");
            assert_eq!(
                refused(client.presence_stats(channel).await),
                code,
                "{channel}"
            );
        }
        client.subscribe("members:a").await.expect("it may");
        client
            .presence("members:a")
            .await
            .expect("it is a subscriber now");
        let request = PresenceRequest {
            channel: String::new(),
        };
        assert_eq!(closes(&client, Request::Presence(request)).await, 3501);
        let client = gateway.user(format, "alice").await;
        let request = PresenceStatsRequest {
            channel: String::new(),
        };
        assert_eq!(closes(&client, Request::PresenceStats(request)).await, 3501);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn joins_and_leaves_are_told_to_those_who_ask() {
    let gateway = gateway().await;
    for format in FORMATS {
        let mut asking = gateway.user(format, "asking").await;
        let mut silent = gateway.user(format, "silent").await;
        silent.subscribe("room:a").await.expect("it may");
        asking
            .subscribe_with(with_joins("room:a"))
            .await
            .expect("it may");
        let own = joined(asking.next_push().await.expect("its own join"));
        assert_eq!(own.user, "asking");
        let claims = json!({ "sub": "alice", "info": { "name": "Alice" } });
        let (alice, connected) = gateway.connected(Format::Json, &claims).await;
        alice.subscribe("room:a").await.expect("it may");
        let info = joined(asking.next_push().await.expect("a join"));
        assert_eq!((&*info.user, info.client), ("alice", connected.client));
        assert_eq!(&*info.conn_info, br#"{"name":"Alice"}"#);
        alice.unsubscribe("room:a").await.expect("always");
        assert_eq!(
            left(asking.next_push().await.expect("a leave")).user,
            "alice"
        );
        alice.subscribe("room:a").await.expect("it may");
        joined(asking.next_push().await.expect("a join"));
        alice.abort().await;
        assert_eq!(
            left(asking.next_push().await.expect("a leave")).user,
            "alice"
        );
        nothing_comes(&mut silent).await;
        drop((asking, silent, alice));
        gateway.is_empty().await;
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn joins_are_forced_or_refused() {
    let gateway = gateway().await;
    let mut client = gateway.user(Format::Json, "alice").await;
    client.subscribe("pushed:a").await.expect("it may");
    joined(client.next_push().await.expect("it is told without asking"));
    // Asking is not enough for who may not see presence.
    client
        .subscribe_with(with_joins("secret:a"))
        .await
        .expect("it may");
    let other = gateway.user(Format::Json, "bob").await;
    other.subscribe("secret:a").await.expect("it may");
    nothing_comes(&mut client).await;
    gateway.end((client, other)).await;
}

#[tokio::test]
async fn who_joins_is_there_before_what_it_publishes() {
    let gateway = gateway().await;
    let mut watcher = gateway.user(Format::Json, "watcher").await;
    watcher
        .subscribe_with(with_joins("room:a"))
        .await
        .expect("it may");
    joined(watcher.next_push().await.expect("its own join"));
    let alice = gateway.user(Format::Json, "alice").await;
    let requests = [
        Request::Subscribe(subscribing("room:a")),
        Request::Publish(wire::PublishRequest {
            channel: "room:a".to_owned(),
            data: "1".into(),
            ..wire::PublishRequest::default()
        }),
        Request::Unsubscribe(wire::UnsubscribeRequest {
            channel: "room:a".to_owned(),
        }),
    ];
    alice.batch(requests).await.expect("it is sent");
    joined(watcher.next_push().await.expect("first it joins"));
    assert_eq!(&*publication(&mut watcher, "room:a").await.data, b"1");
    left(watcher.next_push().await.expect("then it leaves"));
    gateway.end((watcher, alice)).await;
}

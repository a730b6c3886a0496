//! Two nodes over one Redis.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::config::EngineType;
use runtime::config::Timespan;
use serde_json::json;
use testkit::{Progress, RedisServer, eventually};
use wire::{Format, PushBody, SubscribeRequest};

use crate::support::{
    FORMATS, SOON, TestGateway, close_code, namespace, publication, subscribing, unsubscribed,
    with_history,
};

async fn node(redis: &RedisServer) -> TestGateway {
    TestGateway::start(|config| {
        config.engine.kind = EngineType::Redis;
        config.engine.redis.address = redis.url();
        config.client.channel_position_check_delay = Timespan::from_millis(200);
        namespace(config, "open", |options| {
            options.presence = true;
            options.join_leave = true;
            options.allow_subscribe_for_client = true;
            options.allow_publish_for_client = true;
            options.allow_presence_for_client = true;
        });
        namespace(config, "kept", |options| {
            with_history(options, 5_000);
            options.allow_subscribe_for_client = true;
            options.allow_publish_for_client = true;
            options.force_recovery = true;
        });
    })
    .await
}

#[tokio::test]
async fn what_one_node_is_told_the_other_delivers() {
    let redis = RedisServer::start().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    for (from, to) in [(&first, &second), (&second, &first)] {
        for format in FORMATS {
            let publisher = from.user(Format::Json, "alice").await;
            let mut reader = to.user(format, "bob").await;
            reader.subscribe("open:a").await.expect("it may");
            publisher
                .publish("open:a", r#"{"a":1}"#)
                .await
                .expect("it may");
            let one = publication(&mut reader, "open:a").await;
            assert_eq!(&*one.data, br#"{"a":1}"#);
            assert_eq!(one.info.expect("the publisher").user, "alice");
            from.api_ok(
                "publish",
                &json!({ "channel": "open:a", "data": 2, "tags": { "t": "1" } }),
            )
            .await;
            assert_eq!(publication(&mut reader, "open:a").await.tags["t"], "1");
        }
    }
    first.end(()).await;
    second.end(()).await;
}

/// Several commands in one frame: publications go to Redis together, and everything is
/// answered and delivered in the client's order.
#[tokio::test]
async fn what_a_client_sends_at_once_stays_in_order() {
    const N: u32 = 300;
    let redis = RedisServer::start().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    for channel in ["kept:a", "open:a"] {
        let mut reader = second.user(Format::Json, "bob").await;
        reader.subscribe(channel).await.expect("it may");
        let mut publisher = first.json_user("alice").await;
        // The 100th may not, and another command stands in the middle.
        let commands = (0..N).map(|n| match n {
            100 => json!({ "id": 1000 + n, "publish": { "channel": "unknown:a", "data": n } }),
            200 => json!({ "id": 1000 + n, "presence": { "channel": "open:a" } }),
            n => json!({ "id": 1000 + n, "publish": { "channel": channel, "data": n } }),
        });
        let lines: Vec<_> = commands.map(|command| command.to_string()).collect();
        publisher.send(lines.join("\n")).await;
        for n in 0..N {
            let reply = publisher.next().await;
            assert_eq!(reply["id"], 1000 + n);
            let answer = ["publish", "presence", "error"]
                .into_iter()
                .find(|&key| reply.get(key).is_some());
            let expected = match n {
                100 => "error",
                200 => "presence",
                _ => "publish",
            };
            assert_eq!(answer, Some(expected), "{reply}");
        }
        for n in (0..N).filter(|n| ![100, 200].contains(n)) {
            let one = publication(&mut reader, channel).await;
            assert_eq!(*one.data, *n.to_string().as_bytes());
        }
    }
    first.end(()).await;
    second.end(()).await;
}

#[tokio::test]
async fn a_client_recovers_at_the_other_node() {
    let redis = RedisServer::start().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    let mut client = first.user(Format::Json, "alice").await;
    let at = client.subscribe("kept:a").await.expect("it may");
    first
        .api_ok("publish", &json!({ "channel": "kept:a", "data": 1 }))
        .await;
    assert_eq!(publication(&mut client, "kept:a").await.offset, 1);
    client.abort().await;
    for n in 2..=4 {
        first
            .api_ok("publish", &json!({ "channel": "kept:a", "data": n }))
            .await;
    }
    let mut client = second.user(Format::Protobuf, "alice").await;
    let recover = SubscribeRequest {
        recover: true,
        epoch: at.epoch.clone(),
        offset: 1,
        ..subscribing("kept:a")
    };
    let result = client.subscribe_with(recover).await.expect("it may");
    assert!(result.recovered);
    assert_eq!(result.epoch, at.epoch, "the history is the same one");
    let data: Vec<_> = result.publications.iter().map(|one| &*one.data).collect();
    assert_eq!(data, [b"2", b"3", b"4"]);
    first
        .api_ok("publish", &json!({ "channel": "kept:a", "data": 5 }))
        .await;
    assert_eq!(publication(&mut client, "kept:a").await.offset, 5);
    first.end(()).await;
    second.end(client).await;
}

#[tokio::test]
async fn presence_and_the_api_reach_all_nodes() {
    let redis = RedisServer::start().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    let mut alice = first.user(Format::Json, "alice").await;
    let joins = SubscribeRequest {
        join_leave: true,
        ..subscribing("open:a")
    };
    alice.subscribe_with(joins).await.expect("it may");
    alice.next_push().await.expect("its own join");
    let (mut bob, connected) = second
        .connected(Format::Json, &json!({ "sub": "bob" }))
        .await;
    bob.subscribe("open:a").await.expect("it may");
    let push = alice.next_push().await.expect("a join from the other node");
    assert!(
        matches!(push.body, PushBody::Join(ref join) if join.info.user == "bob"),
        "{push:?}"
    );
    let present = alice.presence("open:a").await.expect("it may").presence;
    assert_eq!(present.len(), 2);
    assert_eq!(present[&connected.client].user, "bob");
    let channels = first.api_ok("channels", &json!({})).await;
    assert_eq!(
        channels["channels"]["open:a"]["num_clients"], 2,
        "{channels}"
    );
    eventually(SOON, async || {
        let info = first.api_ok("info", &json!({})).await;
        info["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.len() == 2)
    })
    .await;

    first
        .api_ok("subscribe", &json!({ "user": "bob", "channel": "kept:b" }))
        .await;
    let push = bob.next_push().await.expect("a push");
    assert!(matches!(push.body, PushBody::Subscribe(_)), "{push:?}");
    first
        .api_ok(
            "unsubscribe",
            &json!({ "user": "bob", "channel": "kept:b" }),
        )
        .await;
    assert_eq!(unsubscribed(&mut bob, "kept:b").await, 2000);
    first.api_ok("disconnect", &json!({ "user": "bob" })).await;
    assert_eq!(close_code(&bob).await, 3503);
    let push = alice
        .next_push()
        .await
        .expect("a leave from the other node");
    assert!(
        matches!(push.body, PushBody::Leave(ref leave) if leave.info.user == "bob"),
        "{push:?}"
    );
    first.end(alice).await;
    second.end(bob).await;
}

/// Follows a channel as an SDK does: it walks publications, and comes back with
/// recovery when it is told that something is missing.
async fn follow(gateway: &TestGateway, until: &str) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut position = (String::new(), 0);
    let take = |seen: &mut Vec<u64>, data: &[u8]| {
        let text = std::str::from_utf8(data).expect("text");
        let last = text == until;
        if let Ok(n) = text.parse() {
            seen.push(n);
        }
        last
    };
    'connection: loop {
        let mut client = gateway.user(Format::Json, "reader").await;
        'subscription: loop {
            let request = SubscribeRequest {
                recover: !position.0.is_empty(),
                epoch: position.0.clone(),
                offset: position.1,
                ..subscribing("kept:a")
            };
            let result = match client.subscribe_with(request).await {
                Ok(result) => result,
                Err(error) => {
                    assert!(
                        error.closed().is_some_and(|closed| closed.code == 3004),
                        "{error}"
                    );
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue 'connection;
                }
            };
            position = (result.epoch.clone(), result.offset);
            if result.was_recovering && !result.recovered {
                // It knows that something may be missing: not silent.
                seen.push(u64::MAX);
            }
            for one in result.publications {
                position.1 = one.offset;
                if take(&mut seen, &one.data) {
                    return seen;
                }
            }
            loop {
                let push = client.next_push_within(Duration::from_secs(20)).await;
                match push.map(|push| push.body) {
                    Ok(PushBody::Publication(one)) => {
                        assert_eq!(one.offset, position.1 + 1, "a silent hole");
                        position.1 = one.offset;
                        if take(&mut seen, &one.data) {
                            return seen;
                        }
                    }
                    Ok(PushBody::Unsubscribe(end)) => {
                        assert_eq!(end.code, 2500);
                        continue 'subscription;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// Publications one after the other, whose progress paces what disturbs them.
struct Load {
    accepted: Progress,
    stop: AtomicBool,
}

impl Load {
    fn new() -> Self {
        Self {
            accepted: Progress::new(SOON),
            stop: AtomicBool::new(false),
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Publishes numbers until told to stop; returns those that were accepted.
    async fn publish(&self, gateway: &TestGateway) -> Vec<u64> {
        let mut accepted = Vec::new();
        let mut n = 0;
        while !self.stop.load(Ordering::Relaxed) {
            n += 1;
            let answer = gateway
                .api("publish", &json!({ "channel": "kept:a", "data": n }))
                .await;
            if answer["error"].is_null() {
                accepted.push(n);
                self.accepted.advance();
            }
        }
        eventually(SOON, async || {
            let last = json!({ "channel": "kept:a", "data": "end" });
            gateway.api("publish", &last).await["error"].is_null()
        })
        .await;
        accepted
    }
}

/// Numbers ascend, and what is missing the reader was told of.
#[track_caller]
fn check(seen: &[u64], accepted: &[u64]) {
    let mut last = 0;
    let mut told = false;
    for &n in seen {
        if n == u64::MAX {
            told = true;
            continue;
        }
        assert!(n > last, "{n} after {last}");
        let missing = accepted
            .iter()
            .filter(|&&one| one > last && one < n)
            .count();
        assert!(
            missing == 0 || told || last == 0,
            "{missing} are missing before {n}"
        );
        told = false;
        last = n;
    }
    assert!(last > 0, "something arrived");
}

#[tokio::test]
async fn a_flushed_redis_makes_no_silent_hole() {
    let redis = RedisServer::start().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    let load = Load::new();
    let disturbing = async {
        for _ in 0..3 {
            load.accepted.more(100).await;
            redis.flush().await;
        }
        load.accepted.more(100).await;
        load.stop();
    };
    let (accepted, (), seen) =
        tokio::join!(load.publish(&first), disturbing, follow(&second, "\"end\""));
    check(&seen, &accepted);
    first.end(()).await;
    second.end(()).await;
}

#[tokio::test]
async fn a_restarted_redis_makes_no_silent_hole() {
    let mut redis = RedisServer::start().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    let load = Load::new();
    // An idle client is not disturbed at all.
    let idle = second.user(Format::Json, "idle").await;
    let disturbing = async {
        for _ in 0..2 {
            load.accepted.more(100).await;
            redis.restart().await;
        }
        load.accepted.more(100).await;
        load.stop();
    };
    let (accepted, (), seen) =
        tokio::join!(load.publish(&first), disturbing, follow(&second, "\"end\""));
    check(&seen, &accepted);
    idle.unsubscribe("nothing")
        .await
        .expect("it is still there");
    first.end(()).await;
    second.end(idle).await;
}

#[tokio::test]
async fn a_lost_subscription_connection_makes_no_silent_hole() {
    let redis = RedisServer::durable().await;
    let (first, second) = (node(&redis).await, node(&redis).await);
    let load = Load::new();
    let disturbing = async {
        for _ in 0..5 {
            load.accepted.more(100).await;
            redis.command("CLIENT KILL TYPE pubsub").await;
        }
        load.accepted.more(100).await;
        load.stop();
    };
    let (accepted, (), seen) =
        tokio::join!(load.publish(&first), disturbing, follow(&second, "\"end\""));
    check(&seen, &accepted);
    // Redis kept everything, so nothing had to be told.
    assert!(!seen.contains(&u64::MAX));
    first.end(()).await;
    second.end(()).await;
}

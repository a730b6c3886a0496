//! Recovery: what a client missed, or the word that it cannot be had.

use runtime::config::Timespan;
use serde_json::json;
use wire::{Format, Request, SubscribeRequest, SubscribeResult};

use crate::support::{
    FORMATS, TestGateway, namespace, publication, refused, subscribing, with_history,
};

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        config.client.recovery_max_publication_limit = 5;
        namespace(config, "stream", |options| {
            with_history(options, 8);
            options.allow_subscribe_for_client = true;
            options.force_recovery = true;
            options.join_leave = true;
            options.force_push_join_leave = true;
        });
        namespace(config, "cache", |options| {
            with_history(options, 1);
            options.allow_subscribe_for_client = true;
            options.force_recovery = true;
            options.force_recovery_mode = gateway::config::RecoveryMode::Cache;
        });
        namespace(config, "asked", |options| {
            with_history(options, 8);
            options.allow_subscribe_for_client = true;
        });
    })
    .await
}

async fn publish(gateway: &TestGateway, channel: &str, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        gateway
            .api_ok(
                "publish",
                &json!({ "channel": channel, "data": { "n": n } }),
            )
            .await;
    }
}

async fn epoch(gateway: &TestGateway, channel: &str) -> String {
    let top = gateway
        .api_ok("history", &json!({ "channel": channel }))
        .await;
    top["epoch"].as_str().expect("an epoch").to_owned()
}

fn from(channel: &str, epoch: &str, offset: u64) -> SubscribeRequest {
    SubscribeRequest {
        recover: true,
        recoverable: true,
        epoch: epoch.to_owned(),
        offset,
        ..subscribing(channel)
    }
}

/// `(recovered, offset, offsets of publications)`.
fn outcome(result: &SubscribeResult) -> (bool, u64, Vec<u64>) {
    assert!(result.was_recovering && result.positioned && result.recoverable);
    let offsets = result.publications.iter().map(|one| one.offset);
    (result.recovered, result.offset, offsets.collect())
}

async fn recover(gateway: &TestGateway, request: SubscribeRequest) -> (bool, u64, Vec<u64>) {
    let mut outcomes = Vec::new();
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        let result = client.subscribe_with(request.clone()).await;
        outcomes.push(outcome(&result.expect("it may")));
    }
    assert_eq!(outcomes[0], outcomes[1], "both formats say the same");
    outcomes.remove(0)
}

#[tokio::test]
async fn a_stream_is_recovered_wholly_or_not_at_all() {
    let gateway = gateway().await;
    publish(&gateway, "stream:a", 1..=10).await;
    let epoch = &*epoch(&gateway, "stream:a").await;
    let channel = "stream:a";
    let whole = recover(&gateway, from(channel, epoch, 7)).await;
    assert_eq!(
        whole,
        (true, 7, vec![8, 9, 10]),
        "the offset is the request's"
    );
    let unknown_epoch = recover(&gateway, from(channel, "", 9)).await;
    assert_eq!(unknown_epoch, (true, 9, vec![10]));
    let nothing_missed = recover(&gateway, from(channel, epoch, 10)).await;
    assert_eq!(nothing_missed, (true, 10, vec![]));
    let more_than_is_kept = recover(&gateway, from(channel, epoch, 1)).await;
    assert_eq!(more_than_is_kept, (false, 10, vec![]));
    let more_than_the_limit = recover(&gateway, from(channel, epoch, 4)).await;
    assert_eq!(more_than_the_limit, (false, 10, vec![]));
    let another_epoch = recover(&gateway, from(channel, "another", 9)).await;
    assert_eq!(another_epoch, (false, 10, vec![]));
    let another_epoch_at_top = recover(&gateway, from(channel, "another", 10)).await;
    assert_eq!(another_epoch_at_top, (false, 10, vec![]));
    let from_the_future = recover(&gateway, from(channel, epoch, 11)).await;
    assert_eq!(from_the_future, (false, 10, vec![]));
    gateway.end(()).await;
}

#[tokio::test]
async fn a_stream_from_its_very_beginning() {
    let gateway = gateway().await;
    let empty = recover(&gateway, from("stream:b", "", 0)).await;
    assert_eq!(empty, (true, 0, vec![]));
    publish(&gateway, "stream:b", 1..=2).await;
    let all = recover(&gateway, from("stream:b", "", 0)).await;
    assert_eq!(all, (true, 0, vec![1, 2]));
    gateway.end(()).await;
}

#[tokio::test]
async fn recovered_publications_are_those_that_were_published() {
    let gateway = gateway().await;
    let params = json!({ "channel": "stream:c", "data": { "a": [1, "x"] }, "tags": { "t": "v" } });
    gateway.api_ok("publish", &params).await;
    let mut socket = gateway.json_user("alice").await;
    let subscribe = json!({ "channel": "stream:c", "recover": true });
    let reply = socket.ask(json!({ "subscribe": subscribe })).await;
    let one = &reply["subscribe"]["publications"][0];
    assert_eq!(one["data"], params["data"]);
    assert_eq!((&one["tags"], &one["offset"]), (&params["tags"], &json!(1)));
    assert!(
        reply["subscribe"]["offset"].is_null(),
        "0 is left out: {reply}"
    );
    gateway.end(socket).await;
}

#[tokio::test]
async fn who_cannot_do_without_may_say_so_and_leaves_no_trace() {
    let gateway = gateway().await;
    publish(&gateway, "stream:d", 1..=10).await;
    let mut watcher = gateway.user(Format::Json, "bob").await;
    watcher.subscribe("stream:d").await.expect("it may");
    watcher.next_push().await.expect("its own join");
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        let strict = SubscribeRequest {
            flag: SubscribeRequest::REJECT_UNRECOVERED,
            ..from("stream:d", "", 1)
        };
        assert_eq!(refused(client.subscribe_with(strict).await), 112);
        assert_eq!(
            gateway.gateway().holds().2,
            1,
            "only the watcher's subscription"
        );
        let good = SubscribeRequest {
            flag: SubscribeRequest::REJECT_UNRECOVERED,
            ..from("stream:d", "", 9)
        };
        let result = client
            .subscribe_with(good)
            .await
            .expect("it is not subscribed yet");
        assert_eq!(outcome(&result), (true, 9, vec![10]));
        // A client that never was in the channel does not leave it.
        let push = watcher.next_push().await.expect("a push");
        assert!(matches!(push.body, wire::PushBody::Join(_)), "{push:?}");
        drop(client);
        let push = watcher.next_push().await.expect("a push");
        assert!(matches!(push.body, wire::PushBody::Leave(_)), "{push:?}");
    }
    gateway.end(watcher).await;
}

#[tokio::test]
async fn a_cache_gives_the_newest_publication() {
    let gateway = gateway().await;
    let empty = recover(&gateway, from("cache:a", "", 0)).await;
    assert_eq!((empty.0, empty.2), (false, vec![]));
    publish(&gateway, "cache:a", 1..=4).await;
    let epoch = &*epoch(&gateway, "cache:a").await;
    for request in [
        from("cache:a", epoch, 0),
        from("cache:a", epoch, 2),
        from("cache:a", "another", 4),
        from("cache:a", "", 0),
    ] {
        let (recovered, _, offsets) = recover(&gateway, request).await;
        assert_eq!((recovered, offsets), (true, vec![4]));
    }
    let has_it = recover(&gateway, from("cache:a", epoch, 4)).await;
    assert_eq!(has_it, (true, 4, vec![]));
    gateway.end(()).await;
}

#[tokio::test]
async fn recovery_that_is_not_granted_is_not_tried() {
    let gateway = gateway().await;
    publish(&gateway, "asked:a", 1..=2).await;
    let client = gateway.user(Format::Json, "alice").await;
    let result = client
        .subscribe_with(from("asked:a", "", 1))
        .await
        .expect("it may");
    assert!(!result.was_recovering && !result.recovered && !result.recoverable);
    assert!(result.publications.is_empty());
    gateway.end(client).await;
}

/// Whatever is published while clients come and recover arrives once and in order.
#[tokio::test]
async fn nothing_is_lost_or_doubled_between_recovery_and_live() {
    const COUNT: u64 = 300;
    let gateway = TestGateway::start(|config| {
        namespace(config, "busy", |options| {
            with_history(options, 1000);
            options.allow_subscribe_for_client = true;
            options.force_recovery = true;
        });
        config.client.recovery_max_publication_limit = 1000;
        config.client.channel_position_check_delay = Timespan::from_millis(50);
    })
    .await;
    let publishing = async {
        for n in 1..=COUNT {
            gateway
                .api_ok("publish", &json!({ "channel": "busy:a", "data": n }))
                .await;
        }
    };
    let reading = async {
        let mut at = 0;
        // It comes, takes a few, vanishes, and recovers, until it has everything.
        while at < COUNT {
            let format = FORMATS[usize::try_from(at % 2).expect("0 or 1")];
            let mut client = gateway.user(format, "alice").await;
            let result = client
                .subscribe_with(from("busy:a", "", at))
                .await
                .expect("it may");
            assert!(result.recovered, "{result:?}");
            for one in &result.publications {
                at += 1;
                assert_eq!(one.offset, at);
            }
            for _ in 0..7 {
                if at == COUNT {
                    break;
                }
                at += 1;
                assert_eq!(publication(&mut client, "busy:a").await.offset, at);
            }
            client.abort().await;
        }
    };
    tokio::join!(publishing, reading);
    gateway.end(()).await;
}

#[tokio::test]
async fn a_removed_history_is_a_new_one() {
    let gateway = gateway().await;
    publish(&gateway, "stream:e", 1..=3).await;
    let epoch_before = epoch(&gateway, "stream:e").await;
    gateway
        .api_ok("history_remove", &json!({ "channel": "stream:e" }))
        .await;
    let (recovered, ..) = recover(&gateway, from("stream:e", &epoch_before, 1)).await;
    assert!(!recovered, "2 and 3 are gone");
    gateway.end(()).await;
}

#[tokio::test]
async fn recovery_in_the_frame_of_connect() {
    let gateway = gateway().await;
    publish(&gateway, "stream:f", 1..=3).await;
    for format in FORMATS {
        let client = gateway.open(format).await;
        let token = crate::support::token(&json!({ "sub": "alice" }));
        let requests = [
            Request::Connect(crate::support::with_token(&token)),
            Request::Subscribe(from("stream:f", "", 1)),
        ];
        let mut replies = client.batch(requests).await.expect("it is sent");
        let Ok(wire::ReplyBody::Subscribe(result)) = replies.remove(1) else {
            panic!("{replies:?}");
        };
        assert_eq!(outcome(&result), (true, 1, vec![2, 3]));
    }
    gateway.end(()).await;
}

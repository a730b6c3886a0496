//! `subscribe` and `unsubscribe`: the checks in their order, and what is granted.

use runtime::config::Timespan;
use serde_json::{Value, json};
use wire::{ConnectRequest, Format, Request, SubscribeRequest, UnsubscribeRequest};

use crate::support::{
    FORMATS, TestGateway, closes, namespace, nothing_comes, publication, refused, subscribing,
    token, unix, unsubscribed, with_history,
};

async fn open_gateway() -> TestGateway {
    TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
        config.channel.without_namespace.allow_subscribe_for_client = true;
        namespace(config, "closed", |_| {});
        namespace(config, "own", |options| {
            options.allow_user_limited_channels = true;
        });
        namespace(config, "anybody", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
        });
        namespace(config, "numbers", |options| {
            options.allow_subscribe_for_client = true;
            options.channel_regex = "^[0-9]+$".to_owned();
        });
        namespace(config, "kept", |options| {
            with_history(options, 10);
            options.allow_subscribe_for_client = true;
            options.allow_recovery = true;
            options.allow_positioning = true;
        });
        namespace(config, "forced", |options| {
            with_history(options, 10);
            options.allow_subscribe_for_client = true;
            options.force_recovery = true;
        });
        namespace(config, "positioned", |options| {
            with_history(options, 10);
            options.allow_subscribe_for_client = true;
            options.force_positioning = true;
        });
        namespace(config, "readable", |options| {
            with_history(options, 10);
            options.allow_subscribe_for_client = true;
            options.allow_history_for_subscriber = true;
        });
    })
    .await
}

fn sub_token(claims: &Value) -> SubscribeRequest {
    let channel = claims["channel"].as_str().expect("a channel").to_owned();
    SubscribeRequest {
        token: token(claims),
        ..subscribing(&channel)
    }
}

#[tokio::test]
async fn subscribing_unsubscribing_and_subscribing_again() {
    let gateway = open_gateway().await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        client.subscribe("news").await.expect("it may");
        assert_eq!(refused(client.subscribe("news").await), 105);
        client.unsubscribe("news").await.expect("always");
        client.unsubscribe("news").await.expect("even so");
        client.unsubscribe("unknown:thing").await.expect("even so");
        client.subscribe("news").await.expect("it may again");
        drop(client);
        gateway.is_empty().await;
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn without_a_channel_the_connection_ends() {
    let gateway = open_gateway().await;
    let unsubscribe = || {
        Request::Unsubscribe(UnsubscribeRequest {
            channel: String::new(),
        })
    };
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        assert_eq!(
            closes(&client, Request::Subscribe(subscribing(""))).await,
            3501
        );
        let client = gateway.user(format, "alice").await;
        assert_eq!(closes(&client, unsubscribe()).await, 3501);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn what_is_refused_and_with_which_code() {
    let gateway = open_gateway().await;
    let client = gateway.user(Format::Json, "alice").await;
    let long = "a".repeat(256);
    for (channel, code) in [
        ("closed:room", 103),
        ("unknown:room", 102),
        (&*long, 107),
        ("zürich", 107),
        ("anybody:zürich", 107),
        ("numbers:abc", 107),
        ("$private", 103),
        ("$anybody:private", 103),
        ("own:room#bob", 103),
        ("anybody:room#alice", 103),
        ("own:room", 103),
    ] {
        assert_eq!(refused(client.subscribe(channel).await), code, "{channel}");
    }
    for channel in [
        "numbers:123",
        "own:room#alice",
        "own:room#bob,alice",
        &long[..255],
        ":empty",
    ] {
        let answer = client.subscribe(channel).await;
        if channel == ":empty" {
            // An empty namespace is none that can be configured.
            assert_eq!(refused(answer), 102);
        } else {
            answer.unwrap_or_else(|error| panic!("{channel}: {error}"));
        }
    }
    gateway.end(client).await;
}

#[tokio::test]
async fn an_anonymous_user_needs_permission_of_its_own() {
    let gateway = open_gateway().await;
    let client = gateway.open(Format::Json).await;
    client
        .connect(ConnectRequest::default())
        .await
        .expect("it may");
    assert_eq!(refused(client.subscribe("news").await), 103);
    assert_eq!(refused(client.subscribe("own:room#").await), 103);
    client.subscribe("anybody:news").await.expect("it may");
    gateway.end(client).await;
}

#[tokio::test]
async fn types_deltas_and_filters_that_are_not_there() {
    let gateway = open_gateway().await;
    let client = gateway.user(Format::Json, "alice").await;
    let with_type = |r#type| SubscribeRequest {
        r#type,
        ..subscribing("news")
    };
    assert_eq!(refused(client.subscribe_with(with_type(4)).await), 108);
    assert_eq!(refused(client.subscribe_with(with_type(1)).await), 103);
    let filtered = SubscribeRequest {
        tf: Some(Box::default()),
        ..subscribing("news")
    };
    assert_eq!(refused(client.subscribe_with(filtered).await), 107);
    let delta = |name: &str| SubscribeRequest {
        delta: name.to_owned(),
        ..subscribing("news")
    };
    let granted = client
        .subscribe_with(delta("fossil"))
        .await
        .expect("silently without");
    assert!(!granted.delta);
    assert_eq!(
        closes(&client, Request::Subscribe(delta("unknown"))).await,
        3501
    );
    gateway.end(client).await;
}

/// An earlier check wins over a later one.
#[tokio::test]
async fn the_checks_have_an_order() {
    let gateway = TestGateway::start(|config| {
        config.client.channel_limit = 1;
        config.channel.without_namespace.allow_subscribe_for_client = true;
    })
    .await;
    let client = gateway.user(Format::Json, "alice").await;
    client.subscribe("news").await.expect("it may");
    let long = "a".repeat(256);
    assert_eq!(
        refused(client.subscribe(&long).await),
        107,
        "before the limit"
    );
    assert_eq!(
        refused(client.subscribe("news").await),
        105,
        "before the limit"
    );
    assert_eq!(refused(client.subscribe("unknown:a").await), 106);
    assert_eq!(refused(client.subscribe("zürich").await), 106);
    let poll = SubscribeRequest {
        r#type: 4,
        delta: "unknown".to_owned(),
        ..subscribing(&long)
    };
    assert_eq!(
        refused(client.subscribe_with(poll).await),
        108,
        "first of all"
    );
    client.unsubscribe("news").await.expect("always");
    client
        .subscribe("other")
        .await
        .expect("there is room again");
    gateway.end(client).await;
}

#[tokio::test]
async fn a_token_opens_a_channel() {
    let gateway = open_gateway().await;
    for format in FORMATS {
        let (client, connected) = gateway.connected(format, &json!({ "sub": "alice" })).await;
        let granted = client
            .subscribe_with(sub_token(&json!({
                "sub": "alice", "channel": "$closed:room", "data": { "a": 1 }, "exp": unix(600),
            })))
            .await
            .expect("the token opens it");
        assert_eq!(&*granted.data, br#"{"a":1}"#);
        assert!(granted.expires && (590..=600).contains(&granted.ttl));
        let bound = json!({ "sub": "alice", "channel": "closed:b", "client": connected.client });
        client
            .subscribe_with(sub_token(&bound))
            .await
            .expect("it is bound to this client");
        let endless =
            json!({ "sub": "alice", "channel": "closed:c", "exp": unix(9), "expire_at": 0 });
        let granted = client
            .subscribe_with(sub_token(&endless))
            .await
            .expect("it opens");
        assert_eq!((granted.expires, granted.ttl), (false, 0));
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_token_that_does_not_open() {
    let gateway = open_gateway().await;
    let client = gateway.user(Format::Json, "alice").await;
    let expired = json!({ "sub": "alice", "channel": "closed:a", "exp": unix(-1) });
    assert_eq!(
        refused(client.subscribe_with(sub_token(&expired)).await),
        109
    );
    let over = json!({ "sub": "alice", "channel": "closed:a", "expire_at": unix(-1) });
    assert_eq!(refused(client.subscribe_with(sub_token(&over)).await), 110);
    let forged = SubscribeRequest {
        token: auth::sign_hs256("another", &json!({ "sub": "alice", "channel": "closed:a" })),
        ..subscribing("closed:a")
    };
    assert_eq!(refused(client.subscribe_with(forged).await), 103);
    let unknown = json!({ "sub": "alice", "channel": "unknown:a" });
    assert_eq!(
        refused(client.subscribe_with(sub_token(&unknown)).await),
        102
    );
    for claims in [
        json!({ "sub": "alice", "channel": "closed:b" }),
        json!({ "sub": "bob", "channel": "closed:a" }),
        json!({ "sub": "alice", "channel": "closed:a", "client": "another" }),
    ] {
        let client = gateway.user(Format::Json, "alice").await;
        let request = SubscribeRequest {
            channel: "closed:a".to_owned(),
            ..sub_token(&claims)
        };
        assert_eq!(
            closes(&client, Request::Subscribe(request)).await,
            3500,
            "{claims}"
        );
    }
    gateway.end(client).await;
}

#[tokio::test]
async fn a_subscription_that_is_not_refreshed_expires() {
    let gateway = TestGateway::start(|config| {
        config.client.expired_sub_close_delay = Timespan::ZERO;
    })
    .await;
    let mut client = gateway.user(Format::Json, "alice").await;
    let short = json!({ "sub": "alice", "channel": "news", "exp": unix(2) });
    client
        .subscribe_with(sub_token(&short))
        .await
        .expect("it opens");
    assert_eq!(unsubscribed(&mut client, "news").await, 2501);
    assert_eq!(gateway.gateway().holds().2, 0);
    gateway.end(client).await;
}

#[tokio::test]
async fn subscription_tokens_may_have_a_key_of_their_own() {
    let gateway = TestGateway::start(|config| {
        config.client.subscription_token.enabled = true;
        config.client.subscription_token.token.hmac_secret_key = "separate".into();
    })
    .await;
    let client = gateway.user(Format::Json, "alice").await;
    let claims = json!({ "sub": "alice", "channel": "news" });
    assert_eq!(
        refused(client.subscribe_with(sub_token(&claims)).await),
        103
    );
    let request = SubscribeRequest {
        token: auth::sign_hs256("separate", &claims),
        ..subscribing("news")
    };
    client.subscribe_with(request).await.expect("it opens");
    gateway.end(client).await;
}

/// `(positioned, recoverable, has an epoch)` of a reply.
async fn granted(gateway: &TestGateway, request: SubscribeRequest) -> (bool, bool, bool) {
    let client = gateway.user(Format::Protobuf, "alice").await;
    let result = client.subscribe_with(request).await.expect("it may");
    assert!(!result.was_recovering && !result.recovered);
    (
        result.positioned,
        result.recoverable,
        !result.epoch.is_empty(),
    )
}

#[tokio::test]
async fn positioning_and_recovery_are_granted_or_forced() {
    let gateway = open_gateway().await;
    let positioned = |channel: &str| SubscribeRequest {
        positioned: true,
        ..subscribing(channel)
    };
    let recoverable = |channel: &str| SubscribeRequest {
        recoverable: true,
        ..subscribing(channel)
    };
    let cases = [
        (subscribing("kept:a"), (false, false, false)),
        (positioned("kept:a"), (true, false, true)),
        (recoverable("kept:a"), (true, true, true)),
        (subscribing("forced:a"), (true, true, true)),
        (subscribing("positioned:a"), (true, false, true)),
        (recoverable("positioned:a"), (true, false, true)),
        (subscribing("readable:a"), (false, false, false)),
        (recoverable("readable:a"), (true, true, true)),
        (positioned("readable:a"), (true, false, true)),
        // Without history there is nothing to grant.
        (recoverable("anybody:a"), (false, false, false)),
    ];
    for (request, expected) in cases {
        let name = format!("{request:?}");
        assert_eq!(granted(&gateway, request).await, expected, "{name}");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_positioned_reply_says_where_the_channel_stands() {
    let gateway = open_gateway().await;
    for n in 1..=3 {
        gateway
            .api_ok("publish", &json!({ "channel": "forced:a", "data": n }))
            .await;
    }
    let mut client = gateway.user(Format::Json, "alice").await;
    let result = client.subscribe("forced:a").await.expect("it may");
    assert_eq!((result.offset, result.publications.len()), (3, 0));
    gateway
        .api_ok("publish", &json!({ "channel": "forced:a", "data": 4 }))
        .await;
    let next = publication(&mut client, "forced:a").await;
    assert_eq!((next.offset, &*next.data), (4, &b"4"[..]));
    client.unsubscribe("forced:a").await.expect("always");
    gateway
        .api_ok("publish", &json!({ "channel": "forced:a", "data": 5 }))
        .await;
    nothing_comes(&mut client).await;
    gateway.end(client).await;
}

#[tokio::test]
async fn the_first_publication_of_a_history_says_its_epoch() {
    let gateway = open_gateway().await;
    let mut client = gateway.user(Format::Protobuf, "alice").await;
    let result = client.subscribe("forced:first").await.expect("it may");
    for n in 1..=2 {
        gateway
            .api_ok("publish", &json!({ "channel": "forced:first", "data": n }))
            .await;
    }
    assert_eq!(
        publication(&mut client, "forced:first").await.epoch,
        result.epoch
    );
    assert_eq!(publication(&mut client, "forced:first").await.epoch, "");
    gateway.end(client).await;
}

//! `refresh` and `sub_refresh`.

use serde_json::json;
use wire::{Format, RefreshRequest, Request, SubRefreshRequest, SubscribeRequest};

use crate::support::{
    FORMATS, TestGateway, close_code, closes, namespace, refused, subscribing, token, unix,
};
use runtime::config::Timespan;

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
        });
        namespace(config, "closed", |options| {
            options.presence = true;
            options.allow_presence_for_subscriber = true;
        });
    })
    .await
}

fn refresh(claims: &serde_json::Value) -> Request {
    Request::Refresh(RefreshRequest {
        token: token(claims),
    })
}

#[tokio::test]
async fn a_connection_is_prolonged() {
    let gateway = gateway().await;
    for format in FORMATS {
        let claims = json!({ "sub": "alice", "exp": unix(60) });
        let (client, connected) = gateway.connected(format, &claims).await;
        let longer = token(&json!({ "sub": "alice", "exp": unix(600) }));
        let result = client.refresh(&longer).await.expect("it is good");
        assert!(result.expires && (590..=600).contains(&result.ttl));
        assert_eq!(result.client, connected.client, "the SDK takes it over");
        let forever = token(&json!({ "sub": "alice" }));
        let result = client.refresh(&forever).await.expect("it is good");
        assert_eq!((result.expires, result.ttl), (false, 0));
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_prolonged_connection_stays() {
    let gateway = TestGateway::start(|config| {
        config.client.expired_close_delay = Timespan::ZERO;
    })
    .await;
    let claims = json!({ "sub": "alice", "exp": unix(2) });
    let (client, _) = gateway.connected(Format::Json, &claims).await;
    let (other, _) = gateway.connected(Format::Json, &claims).await;
    let longer = token(&json!({ "sub": "alice", "exp": unix(600) }));
    client.refresh(&longer).await.expect("it is good");
    assert_eq!(close_code(&other).await, 3005);
    client
        .unsubscribe("nothing")
        .await
        .expect("it is still there");
    gateway.end((client, other)).await;
}

#[tokio::test]
async fn a_refresh_that_fails() {
    let gateway = gateway().await;
    let cases = [
        (Request::Refresh(RefreshRequest::default()), 3501),
        (refresh(&json!({ "sub": "alice", "exp": unix(-1) })), 3005),
        (refresh(&json!({ "sub": "bob", "exp": unix(60) })), 3500),
        (
            Request::Refresh(RefreshRequest {
                token: "nonsense".to_owned(),
            }),
            3500,
        ),
        (
            refresh(&json!({ "sub": "alice", "channels": ["open:a"] })),
            3010,
        ),
    ];
    for (request, code) in cases {
        let claims = json!({ "sub": "alice", "exp": unix(60) });
        let (client, _) = gateway.connected(Format::Json, &claims).await;
        assert_eq!(closes(&client, request).await, code);
    }
    let claims = json!({ "sub": "alice", "exp": unix(60) });
    let (client, _) = gateway.connected(Format::Json, &claims).await;
    let over = token(&json!({ "sub": "alice", "expire_at": unix(-1) }));
    assert_eq!(refused(client.refresh(&over).await), 110);
    gateway.end(client).await;
}

#[tokio::test]
async fn the_same_channels_in_a_new_token_are_fine() {
    let gateway = gateway().await;
    let claims = |exp| json!({ "sub": "a", "exp": exp, "channels": ["open:b", "open:a"] });
    let (client, _) = gateway.connected(Format::Json, &claims(unix(60))).await;
    client
        .subscribe("open:c")
        .await
        .expect("the client's own do not count");
    let result = client
        .refresh(&token(&claims(unix(600))))
        .await
        .expect("the same channels");
    assert!(result.ttl > 60);
    let fewer = refresh(&json!({ "sub": "a", "exp": unix(60), "channels": ["open:a"] }));
    assert_eq!(closes(&client, fewer).await, 3010);
    gateway.end(client).await;
}

fn sub_token(claims: &serde_json::Value) -> SubscribeRequest {
    SubscribeRequest {
        token: token(claims),
        ..subscribing("closed:a")
    }
}

#[tokio::test]
async fn a_subscription_is_prolonged() {
    let gateway = gateway().await;
    for format in FORMATS {
        let (client, connected) = gateway.connected(format, &json!({ "sub": "alice" })).await;
        let claims = json!({ "sub": "alice", "channel": "closed:a", "exp": unix(60) });
        client
            .subscribe_with(sub_token(&claims))
            .await
            .expect("it opens");
        let longer =
            token(&json!({ "sub": "alice", "channel": "closed:a", "exp": unix(600), "info": 1 }));
        let result = client
            .sub_refresh("closed:a", &longer)
            .await
            .expect("it is good");
        assert!(result.expires && (590..=600).contains(&result.ttl));
        let present = client
            .presence("closed:a")
            .await
            .expect("it is a subscriber");
        assert!(present.presence.contains_key(&connected.client));
        let forever = token(&json!({ "sub": "alice", "channel": "closed:a" }));
        let result = client
            .sub_refresh("closed:a", &forever)
            .await
            .expect("it is good");
        assert_eq!((result.expires, result.ttl), (false, 0));
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_refresh_of_a_subscription_that_fails() {
    let gateway = gateway().await;
    let claims = json!({ "sub": "alice", "channel": "closed:a", "exp": unix(60) });
    let client = gateway.user(Format::Json, "alice").await;
    assert_eq!(
        refused(client.sub_refresh("closed:a", &token(&claims)).await),
        103
    );
    client
        .subscribe_with(sub_token(&claims))
        .await
        .expect("it opens");
    assert_eq!(refused(client.sub_refresh("closed:a", "").await), 107);
    let expired = token(&json!({ "sub": "alice", "channel": "closed:a", "exp": unix(-1) }));
    assert_eq!(refused(client.sub_refresh("closed:a", &expired).await), 109);
    let over = token(&json!({ "sub": "alice", "channel": "closed:a", "expire_at": unix(-1) }));
    assert_eq!(refused(client.sub_refresh("closed:a", &over).await), 110);

    let other_user = token(&json!({ "sub": "bob", "channel": "closed:a", "exp": unix(60) }));
    let other_channel = token(&json!({ "sub": "alice", "channel": "closed:b", "exp": unix(60) }));
    for bad in ["nonsense", &*other_user, &*other_channel] {
        let client = gateway.user(Format::Json, "alice").await;
        client
            .subscribe_with(sub_token(&claims))
            .await
            .expect("it opens");
        let request = Request::SubRefresh(SubRefreshRequest {
            channel: "closed:a".to_owned(),
            token: bad.to_owned(),
            ..SubRefreshRequest::default()
        });
        assert_eq!(closes(&client, request).await, 3500, "{bad}");
    }
    let no_channel = Request::SubRefresh(SubRefreshRequest::default());
    assert_eq!(closes(&client, no_channel).await, 3501);
    gateway.end(client).await;
}

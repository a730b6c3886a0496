//! `connect`: the first command, and who may come.

use std::time::Duration;

use runtime::config::Timespan;
use serde_json::json;
use wire::{ConnectRequest, Format, PingRequest, Request, SendRequest};

use crate::support::{
    FORMATS, TestGateway, close_code, closes, namespace, refused, subscribing, token, unix,
    with_token,
};

#[tokio::test]
async fn a_user_connects_with_a_token() {
    let gateway = TestGateway::start(|_| {}).await;
    let mut clients = Vec::new();
    for format in FORMATS {
        let (client, result) = gateway.connected(format, &json!({ "sub": "alice" })).await;
        assert_eq!(result.client.len(), 36, "a UUID");
        assert!(result.version.ends_with(" OSS"), "{}", result.version);
        assert_eq!((result.ping, result.pong), (25, true));
        assert_eq!((result.expires, result.ttl, result.time), (false, 0, 0));
        assert_eq!(result.session, "");
        clients.push(client);
    }
    gateway.end(clients).await;
}

#[tokio::test]
async fn a_json_reply_has_only_what_is_said() {
    let gateway = TestGateway::start(|_| {}).await;
    let mut socket = gateway.json().await;
    let token = token(&json!({ "sub": "alice" }));
    let reply = socket.ask(json!({ "connect": { "token": token } })).await;
    let client = &reply["connect"]["client"];
    let version = &reply["connect"]["version"];
    let expected = json!({
        "id": 1,
        "connect": { "client": client, "version": version, "ping": 25, "pong": true },
    });
    assert_eq!(reply, expected);
    gateway.end(socket).await;
}

#[tokio::test]
async fn the_server_tells_its_time_if_wanted() {
    let gateway = TestGateway::start(|config| {
        config.client.connect_include_server_time = true;
        config.client.ping_interval = Timespan::ZERO;
    })
    .await;
    let (client, result) = gateway
        .connected(Format::Json, &json!({ "sub": "a" }))
        .await;
    assert!((result.time - unix(0) * 1000).abs() < 60_000);
    assert_eq!((result.ping, result.pong), (0, false), "there are no pings");
    gateway.end(client).await;
}

#[tokio::test]
async fn anything_before_connect_ends_the_connection() {
    let gateway = TestGateway::start(|_| {}).await;
    for format in FORMATS {
        let client = gateway.open(format).await;
        assert_eq!(
            closes(&client, Request::Subscribe(subscribing("a"))).await,
            3501
        );
        let client = gateway.open(format).await;
        client.send(r"{}").await.expect("it is sent");
        assert_eq!(close_code(&client).await, 3501);
    }
    let mut socket = gateway.json().await;
    socket.send(r#"{"connect":{}}"#).await;
    assert_eq!(socket.closed().await, 3501, "connect needs an id");
    let mut socket = gateway.json().await;
    socket.send("{}").await;
    assert_eq!(socket.closed().await, 3501, "a pong");
    gateway.end(socket).await;
}

#[tokio::test]
async fn a_second_connect_ends_the_connection() {
    let gateway = TestGateway::start(|_| {}).await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        let again = Request::Connect(with_token(&token(&json!({ "sub": "alice" }))));
        assert_eq!(closes(&client, again).await, 3501);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn an_invalid_token_ends_the_connection() {
    let gateway = TestGateway::start(|_| {}).await;
    let wrong_key = auth::sign_hs256("another", &json!({ "sub": "alice" }));
    let wrong_and_expired =
        auth::sign_hs256("another", &json!({ "sub": "alice", "exp": unix(-9) }));
    let for_a_channel = token(&json!({ "sub": "alice", "channel": "news" }));
    for bad in ["nonsense", &wrong_key, &wrong_and_expired, &for_a_channel] {
        let client = gateway.open(Format::Json).await;
        let code = closes(&client, Request::Connect(with_token(bad))).await;
        assert_eq!(code, 3500, "{bad}");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn an_expired_token_is_told_then_the_connection_is_no_use() {
    let gateway = TestGateway::start(|config| {
        config.channel.without_namespace.allow_subscribe_for_client = true;
    })
    .await;
    for format in FORMATS {
        let client = gateway.open(format).await;
        let expired = with_token(&token(&json!({ "sub": "alice", "exp": unix(-1) })));
        let requests = [
            Request::Connect(expired),
            Request::Subscribe(subscribing("news")),
        ];
        let mut replies = client.batch(requests).await.expect("it is sent");
        let subscribe = replies.remove(1).expect_err("it is not answered");
        assert_eq!(refused(replies.remove(0)), 109);
        // Not answered with 3501: nobody reads any more, and a little later it ends.
        let closed = subscribe.closed().expect("it ends");
        assert!(closed.code < 3000, "{closed}");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_token_not_valid_yet_or_a_connection_expired_already() {
    let gateway = TestGateway::start(|_| {}).await;
    let cases = [
        (json!({ "sub": "a", "nbf": unix(60) }), 109),
        (json!({ "sub": "a", "expire_at": unix(-1) }), 110),
        (json!({ "sub": "a", "channels": ["unknown:channel"] }), 102),
        (
            json!({ "sub": "a", "subs": { "unknown:channel": {} } }),
            102,
        ),
    ];
    for (claims, code) in cases {
        let client = gateway.open(Format::Protobuf).await;
        let answer = client.connect(with_token(&token(&claims))).await;
        assert_eq!(refused(answer), code, "{claims}");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn expiry_is_told_in_seconds_and_at_most_a_year() {
    let gateway = TestGateway::start(|_| {}).await;
    let claims = json!({ "sub": "a", "exp": unix(600) });
    let (first, result) = gateway.connected(Format::Json, &claims).await;
    assert!(result.expires && (590..=600).contains(&result.ttl));
    let claims = json!({ "sub": "a", "exp": unix(1_000_000_000) });
    let (second, result) = gateway.connected(Format::Json, &claims).await;
    assert_eq!((result.expires, result.ttl), (true, 365 * 24 * 3600));
    let claims = json!({ "sub": "a", "exp": unix(600), "expire_at": 0 });
    let (third, result) = gateway.connected(Format::Json, &claims).await;
    assert_eq!((result.expires, result.ttl), (false, 0));
    gateway.end((first, second, third)).await;
}

#[tokio::test]
async fn who_has_no_credentials_may_not_come() {
    let gateway = TestGateway::start(|_| {}).await;
    for format in FORMATS {
        let client = gateway.open(format).await;
        let code = closes(&client, Request::Connect(ConnectRequest::default())).await;
        assert_eq!(code, 3501);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn anonymous_users_come_where_they_may() {
    let gateway = TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
        config.client.disallow_anonymous_connection_tokens = true;
    })
    .await;
    let client = gateway.open(Format::Json).await;
    client
        .connect(ConnectRequest::default())
        .await
        .expect("nobody may come");
    let other = gateway.open(Format::Json).await;
    let empty = Request::Connect(with_token(&token(&json!({ "sub": "" }))));
    assert_eq!(closes(&other, empty).await, 3507);
    gateway.end((client, other)).await;
}

#[tokio::test]
async fn a_proxy_may_vouch_for_the_user() {
    let gateway = TestGateway::start(|config| {
        config.client.user_id_http_header = "X-User".to_owned();
        namespace(config, "people", |options| {
            options.presence = true;
            options.allow_subscribe_for_client = true;
            options.allow_presence_for_client = true;
        });
    })
    .await;
    let mut options = client::Options::new(Format::Json);
    options
        .headers
        .push(("X-User".to_owned(), "carol".to_owned()));
    let client = client::Client::open_with(&gateway.url(), options).await;
    let client = client.expect("the handshake succeeds");
    client
        .connect(ConnectRequest::default())
        .await
        .expect("the header counts");
    client.subscribe("people:all").await.expect("it may");
    let presence = client.presence("people:all").await.expect("it may");
    let users: Vec<_> = presence.presence.values().map(|one| &*one.user).collect();
    assert_eq!(users, ["carol"]);
    gateway.end(client).await;
}

#[tokio::test]
async fn who_does_not_connect_is_stale() {
    let gateway = TestGateway::start(|config| {
        config.client.stale_close_delay = Timespan::from_millis(200);
    })
    .await;
    for format in FORMATS {
        let client = gateway.open(format).await;
        assert_eq!(close_code(&client).await, 3502);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_connection_that_is_not_refreshed_expires() {
    let gateway = TestGateway::start(|config| {
        config.client.expired_close_delay = Timespan::ZERO;
    })
    .await;
    let claims = json!({ "sub": "alice", "exp": unix(2) });
    let (client, _) = gateway.connected(Format::Json, &claims).await;
    assert_eq!(close_code(&client).await, 3005);
    gateway.end(client).await;
}

#[tokio::test]
async fn a_user_may_have_so_many_connections() {
    let gateway = TestGateway::start(|config| config.client.user_connection_limit = 2).await;
    let first = gateway.user(Format::Json, "alice").await;
    let second = gateway.user(Format::Protobuf, "alice").await;
    let other = gateway.user(Format::Json, "bob").await;
    let third = gateway.open(Format::Json).await;
    let connect = Request::Connect(with_token(&token(&json!({ "sub": "alice" }))));
    assert_eq!(closes(&third, connect).await, 3504);
    gateway.end((first, second, other, third)).await;
}

#[tokio::test]
async fn a_user_may_have_a_single_connection() {
    let gateway = TestGateway::start(|config| {
        let personal = &mut config.client.subscribe_to_user_personal_channel;
        personal.enabled = true;
        personal.single_connection = true;
    })
    .await;
    let first = gateway.user(Format::Json, "alice").await;
    let second = gateway.user(Format::Json, "alice").await;
    assert_eq!(close_code(&first).await, 3504);
    second
        .unsubscribe("nothing")
        .await
        .expect("the newer one stays");
    gateway.end((first, second)).await;
}

#[tokio::test]
async fn messages_that_nobody_hears_and_pings_with_an_id_end_the_connection() {
    let gateway = TestGateway::start(|_| {}).await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        client.send("{}").await.expect("it is sent");
        assert_eq!(close_code(&client).await, 3508);
        let client = gateway.user(format, "alice").await;
        assert_eq!(closes(&client, Request::Ping(PingRequest {})).await, 3501);
        let client = gateway.user(format, "alice").await;
        let send = Request::Send(SendRequest { data: "{}".into() });
        assert_eq!(closes(&client, send).await, 3508, "with an id too");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn calls_without_services_are_not_available() {
    let gateway = TestGateway::start(|_| {}).await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        assert_eq!(refused(client.rpc("any:method", "{}").await), 108);
        assert_eq!(refused(client.rpc("", "{}").await), 108);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn connect_and_subscribes_travel_in_one_frame() {
    let gateway = TestGateway::start(|config| {
        config.channel.without_namespace.allow_subscribe_for_client = true;
    })
    .await;
    for format in FORMATS {
        let client = gateway.open(format).await;
        let connect = with_token(&token(&json!({ "sub": "alice" })));
        let requests = [
            Request::Connect(connect),
            Request::Subscribe(subscribing("one")),
            Request::Subscribe(subscribing("two")),
        ];
        let replies = client.batch(requests).await.expect("it is sent");
        assert!(replies.iter().all(Result::is_ok), "{replies:?}");
        assert_eq!(gateway.gateway().holds().0, 1);
        client.close().await.expect("it closes");
        gateway.is_empty().await;
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_nothing() {
    let gateway = TestGateway::start(|config| {
        config.channel.without_namespace.allow_subscribe_for_client = true;
        config.client.ping_interval = Timespan::from(Duration::from_secs(5));
        config.client.pong_timeout = Timespan::from_secs(1);
    })
    .await;
    let client = gateway.user(Format::Json, "alice").await;
    client.subscribe("news").await.expect("it may");
    assert_eq!(gateway.gateway().holds(), (1, 1, 1));
    client.abort().await;
    gateway.end(()).await;
    drop(client);
}

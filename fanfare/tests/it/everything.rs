use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use client::Client;
use fanfare::serve::Fanfare;
use fanfare::{credentials, token};
use wire::{ConnectRequest, Format};

use crate::config;

fn request(user: &str) -> token::Request {
    token::Request {
        user: user.to_owned(),
        channel: None,
        expires: Duration::from_secs(60),
        info: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_with_nothing_and_leaves_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let config = credentials::ensure(config(&data.path().join("new"), &[]).unwrap()).unwrap();
    let key = config.gateway.client.token.hmac_secret_key.clone();
    let fanfare = Fanfare::start(config).await.unwrap();
    let address = fanfare.address();
    assert!(
        address.ip().is_loopback(),
        "development mode is for this machine"
    );
    let greeting = fanfare.greeting();
    let url = format!("http://localhost:{}", address.port());
    assert!(
        greeting.contains(&url) && greeting.contains("development mode"),
        "{greeting}"
    );
    assert!(!greeting.contains(key.expose()));

    let url = format!("ws://{address}/connection/websocket");
    let client = Client::open(&url, Format::Json).await.unwrap();
    let token = token::make(&request("alice"), &key).unwrap();
    let connect = ConnectRequest {
        token,
        ..ConnectRequest::default()
    };
    let connected = client.connect(connect).await.unwrap();
    assert!(connected.subs.contains_key("inbox:#alice"), "{connected:?}");

    // Through the gateway, a channel in this process, the service and its database.
    let counts = client.rpc("notify.GetCounts", "{}").await.unwrap();
    assert!(counts.data.starts_with(b"{"), "{counts:?}");
    client.close().await.unwrap();
    assert!(fanfare.drain().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_may_try_the_public_namespace_in_development_mode() {
    let data = tempfile::tempdir().unwrap();
    let config = credentials::ensure(config(data.path(), &[]).unwrap()).unwrap();
    let fanfare = Fanfare::start(config).await.unwrap();
    let url = format!("ws://{}/connection/websocket", fanfare.address());
    let mut client = Client::open(&url, Format::Protobuf).await.unwrap();
    client.connect(ConnectRequest::default()).await.unwrap();
    client.subscribe("public:chat").await.unwrap();
    client
        .publish("public:chat", r#"{"text":"hello"}"#)
        .await
        .unwrap();
    loop {
        // The join of the client itself may come first.
        let push = client
            .next_push_within(Duration::from_secs(5))
            .await
            .unwrap();
        if format!("{push:?}").contains("hello") {
            break;
        }
    }
    let denied = client.subscribe("other").await.unwrap_err();
    assert_eq!(denied.code(), Some(wire::ErrorCode::PERMISSION_DENIED));
    client.close().await.unwrap();
    assert!(fanfare.drain().await);
}

#[test]
fn without_development_mode_nothing_is_open() {
    let data = tempfile::tempdir().unwrap();
    let config = config(data.path(), &[("development.enabled", "false")]).unwrap();
    let gateway = &config.gateway;
    assert!(!gateway.client.allow_anonymous_connect_without_token);
    assert!(gateway.client.allowed_origins.is_empty());
    assert!(gateway.http_server.address.is_empty());
    assert!(
        gateway
            .channel
            .namespaces
            .iter()
            .all(|n| n.name != "public")
    );
}

#[test]
fn what_is_configured_stays() {
    let data = tempfile::tempdir().unwrap();
    let inbox = r#"[{"name":"inbox","history_size":7,"history_ttl":"1m"}]"#;
    let keys = [
        ("channel.namespaces", inbox),
        ("client.allowed_origins", "https://example.com"),
        ("notify.database.url", "sqlite:///tmp/elsewhere.db"),
    ];
    let config = config(data.path(), &keys).unwrap();
    let namespaces = &config.gateway.channel.namespaces;
    let inbox: Vec<_> = namespaces.iter().filter(|n| n.name == "inbox").collect();
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox[0].options.history_size, 7);
    assert_eq!(
        config.gateway.client.allowed_origins,
        ["https://example.com"]
    );
    assert_eq!(
        config.notify.database.url.expose(),
        "sqlite:///tmp/elsewhere.db"
    );
}

#[test]
fn keys_are_made_once_and_kept_private() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let load = || credentials::ensure(config(&folder, &[]).unwrap()).unwrap();
    let (first, second) = (load(), load());
    let keys = |config: &fanfare::config::Config| {
        let token = config
            .gateway
            .client
            .token
            .hmac_secret_key
            .expose()
            .to_owned();
        (token, config.gateway.http_api.key.expose().to_owned())
    };
    assert_eq!(keys(&first), keys(&second));
    assert_eq!(keys(&first).0.len(), 64);
    assert_ne!(keys(&first).0, keys(&first).1);
    let names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(names.len(), 2, "no draft is left: {names:?}");
    for file in names {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    let configured = config(&folder, &[("client.token.hmac_secret_key", "mine")]).unwrap();
    let configured = credentials::ensure(configured).unwrap();
    assert_eq!(keys(&configured).0, "mine");
}

#[test]
fn a_service_that_runs_here_cannot_be_configured_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let services = r#"[{"name":"notify","address":"http://notify:9102"}]"#;
    let error = config(data.path(), &[("services", services)]).unwrap_err();
    assert!(error.to_string().contains("services[0].name"), "{error}");
}

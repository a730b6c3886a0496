//! HTTP: the WebSocket handshake, and what operators ask for.

use client::{Client, Error, Options, Socket};
use serde_json::json;
use wire::{ConnectRequest, Format};

use crate::support::{TestGateway, namespace};

#[tokio::test]
async fn a_subprotocol_or_a_parameter_chooses_the_format() {
    let gateway = TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
    })
    .await;
    for (format, query, asked, chosen) in [
        (Format::Json, "", None, None),
        (Format::Json, "?cf_protocol=json", None, None),
        (Format::Protobuf, "?cf_protocol=protobuf", None, None),
        (Format::Protobuf, "?a=b&format=protobuf", None, None),
        (
            Format::Json,
            "",
            Some("centrifuge-json"),
            Some("centrifuge-json"),
        ),
        (
            Format::Protobuf,
            "",
            Some("centrifuge-protobuf"),
            Some("centrifuge-protobuf"),
        ),
        (
            Format::Protobuf,
            "?cf_protocol=protobuf",
            Some("centrifuge-protobuf"),
            Some("centrifuge-protobuf"),
        ),
    ] {
        let mut options = Options::new(format);
        options.subprotocol = asked.map(str::to_owned);
        let url = gateway.url() + query;
        let socket = Socket::open(&url, &options)
            .await
            .expect("the handshake succeeds");
        assert_eq!(socket.subprotocol(), chosen, "{query} {asked:?}");
        let client = Client::open_with(&url, options)
            .await
            .expect("the handshake succeeds");
        client
            .connect(ConnectRequest::default())
            .await
            .expect("it may");
    }
    let unknown = gateway.http().get("/connection/websocket").upgrade();
    let response = unknown
        .header("Sec-WebSocket-Protocol", "graphql-ws")
        .send()
        .await;
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-protocol"), None);
    assert_eq!(
        response.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    gateway.end(()).await;
}

async fn from_origin(gateway: &TestGateway, origin: &str) -> Result<Socket, Error> {
    let mut options = Options::new(Format::Json);
    options
        .headers
        .push(("Origin".to_owned(), origin.to_owned()));
    Socket::open(&gateway.url(), &options).await
}

#[tokio::test]
async fn pages_of_other_sites_may_not_connect() {
    let gateway = TestGateway::start(|config| {
        config.client.allowed_origins = vec!["https://*.example.com".to_owned()];
    })
    .await;
    for good in ["https://app.example.com", "HTTPS://APP.Example.com"] {
        from_origin(&gateway, good).await.expect("it is allowed");
    }
    for bad in [
        "https://example.org",
        "http://app.example.com",
        "null",
        "https://app.example.com.evil",
    ] {
        let refused = from_origin(&gateway, bad)
            .await
            .expect_err("it is not allowed");
        assert!(
            matches!(refused, Error::Refused { status: 403, .. }),
            "{bad}: {refused}"
        );
    }
    gateway.end(()).await;
    let gateway = TestGateway::start(|_| {}).await;
    let refused = from_origin(&gateway, "https://example.com")
        .await
        .expect_err("by default");
    assert!(
        matches!(refused, Error::Refused { status: 403, .. }),
        "{refused}"
    );
    gateway.socket(Format::Json).await;
    gateway.end(()).await;
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let gateway = TestGateway::start(|_| {}).await;
    let http = gateway.http();
    let plain = http.get("/connection/websocket").send().await;
    assert!((400..500).contains(&plain.status), "{}", plain.status);
    let posted = http.post("/connection/websocket").upgrade().send().await;
    assert!((400..500).contains(&posted.status), "{}", posted.status);
    assert_eq!(http.get("/nothing/here").send().await.status, 404);
    gateway.end(()).await;
}

#[tokio::test]
async fn the_page_is_served_and_nothing_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), "<title>page</title>").expect("a page");
    let gateway = TestGateway::start(|config| config.web.dir = folder.path().to_owned()).await;
    let http = gateway.http();
    assert_eq!(http.get("/").send().await.status, 200);
    assert_eq!(http.get("/nothing/here").send().await.status, 404);
    assert_eq!(http.get("/../../etc/passwd").send().await.status, 404);
    gateway.end(()).await;
}

#[tokio::test]
async fn a_full_node_refuses_before_the_handshake() {
    let gateway = TestGateway::start(|config| {
        config.client.connection_limit = 2;
        config.client.allow_anonymous_connect_without_token = true;
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = gateway.open(Format::Json).await;
        client
            .connect(ConnectRequest::default())
            .await
            .expect("it may");
        clients.push(client);
    }
    let response = gateway
        .http()
        .get("/connection/websocket")
        .upgrade()
        .send()
        .await;
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    clients.pop();
    testkit::eventually(crate::support::SOON, async || {
        gateway.gateway().holds().0 == 1
    })
    .await;
    let client = gateway.open(Format::Json).await;
    gateway.end((clients, client)).await;
}

#[tokio::test]
async fn health_and_metrics_are_there() {
    let gateway = TestGateway::start(|config| {
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
        });
    })
    .await;
    let client = gateway.user(Format::Json, "alice").await;
    client.subscribe("open:a").await.expect("it may");
    gateway
        .api_ok("publish", &json!({ "channel": "open:a", "data": 1 }))
        .await;
    let http = gateway.http();
    assert_eq!(http.get("/health").send().await.status, 200);
    assert_eq!(http.get("/health/live").send().await.status, 200);
    assert_eq!(http.get("/health/ready").send().await.status, 200);
    let metrics = http.get("/metrics").send().await;
    assert_eq!(metrics.status, 200);
    let lines: Vec<_> = metrics
        .body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    for part in ["connections", "subscriptions", "channels"] {
        let found = lines.iter().any(|line| {
            line.split_once(' ')
                .is_some_and(|(name, value)| name.ends_with(part) && value == "1")
        });
        assert!(found, "{part} is 1 in:\n{}", metrics.body);
    }
    assert!(!metrics.body.contains("alice"), "labels name no users");
    gateway.end(client).await;
}

#[tokio::test]
async fn an_internal_port_takes_what_is_not_for_clients() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let gateway = TestGateway::start(|config| config.http_server.internal_port = port).await;
    let internal = gateway.gateway().internal_address().expect("there is one");
    let internal = crate::support::Http::new(internal);
    for path in ["/metrics", "/health/ready"] {
        assert_eq!(gateway.http().get(path).send().await.status, 404, "{path}");
        assert_eq!(internal.get(path).send().await.status, 200, "{path}");
    }
    assert_eq!(gateway.http().post("/api/info").send().await.status, 404);
    assert_eq!(internal.post("/api/info").send().await.status, 401);
    let upgrade = internal.get("/connection/websocket").upgrade().send().await;
    assert_eq!(upgrade.status, 404);
    gateway.end(()).await;
}

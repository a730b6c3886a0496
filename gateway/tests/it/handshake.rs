//! HTTP: the WebSocket handshake, and what operators ask for.

use client::{Client, Error, Options, Socket};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::{ConnectRequest, Format};

use crate::support::{SOON, TestGateway, namespace};

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
    testkit::eventually(SOON, async || gateway.gateway().holds().0 == 1).await;
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

/// Frames that connect and subscribe, as text.
fn commands() -> Vec<u8> {
    let frame = |text: &str| {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("it is short")];
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        frame
    };
    let connect = frame(r#"{"id":1,"connect":{}}"#);
    [
        connect,
        frame(r#"{"id":2,"subscribe":{"channel":"open:a"}}"#),
    ]
    .concat()
}

async fn open_gateway() -> TestGateway {
    TestGateway::start(|config| {
        config.client.allow_anonymous_connect_without_token = true;
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
        });
    })
    .await
}

const HANDSHAKE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A stream, and all that was read from it.
struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    async fn open(gateway: &TestGateway) -> Self {
        let address = gateway.gateway().address();
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let read = Vec::new();
        Self { stream, read }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref()).await;
        sent.expect("it is taken");
    }

    /// Reads until a text has come `times` times.
    async fn expect(&mut self, text: &str, times: usize) {
        let reading = async {
            while self.text().matches(text).count() < times {
                let n = self.stream.read_buf(&mut self.read).await;
                let n = n.expect("the stream holds");
                assert!(n > 0, "it ended after: {}", self.text());
            }
        };
        let came = timeout(SOON, reading).await;
        assert!(came.is_ok(), "no `{text}`, but: `{}`", self.text());
    }

    /// Reads to the end.
    async fn rest(&mut self) {
        let reading = self.stream.read_to_end(&mut self.read);
        // A reset is an end as well.
        let _ended = timeout(SOON, reading).await.expect("it ends");
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

#[tokio::test]
async fn a_handshake_and_commands_arrive_however_they_are_cut() {
    let gateway = open_gateway().await;
    let all = [HANDSHAKE.as_bytes(), &commands()].concat();
    let mut streams = Vec::new();
    let head = HANDSHAKE.len();
    for cut in [1, 10, head - 1, head, head + 1, head + 10, all.len()] {
        let mut raw = Raw::open(&gateway).await;
        raw.send(&all[..cut]).await;
        if cut >= head {
            raw.expect("Sec-WebSocket-Accept", 1).await;
        }
        raw.send(&all[cut..]).await;
        raw.expect(r#""id":1,"connect""#, 1).await;
        raw.expect(r#""id":2,"subscribe""#, 1).await;
        streams.push(raw);
    }
    // In single bytes.
    let mut raw = Raw::open(&gateway).await;
    for byte in &all {
        raw.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    raw.expect(r#""id":2,"subscribe""#, 1).await;
    streams.push(raw);
    assert_eq!(gateway.gateway().holds(), (8, 1, 8));
    gateway.end(streams).await;
}

#[tokio::test]
async fn a_handshake_may_follow_another_request() {
    let gateway = open_gateway().await;
    let health = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    // One after the other, as from a proxy that keeps its connections.
    let mut kept = Raw::open(&gateway).await;
    kept.send(health).await;
    kept.expect("200 OK", 1).await;
    kept.send(HANDSHAKE).await;
    kept.expect("101 Switching Protocols", 1).await;
    kept.send(commands()).await;
    kept.expect(r#""id":2,"subscribe""#, 1).await;
    // All at once.
    let mut pipelined = Raw::open(&gateway).await;
    let all = [
        health.as_bytes(),
        health.as_bytes(),
        HANDSHAKE.as_bytes(),
        &commands(),
    ]
    .concat();
    pipelined.send(all).await;
    pipelined.expect("200 OK", 2).await;
    pipelined.expect(r#""id":2,"subscribe""#, 1).await;
    // A refused one leaves the connection to others.
    let mut refused = Raw::open(&gateway).await;
    refused.send(HANDSHAKE.replace("13", "8")).await;
    refused.expect("426 Upgrade Required", 1).await;
    refused.send(HANDSHAKE).await;
    refused.expect("101 Switching Protocols", 1).await;
    refused.send(commands()).await;
    refused.expect(r#""id":2,"subscribe""#, 1).await;
    gateway.end((kept, pipelined, refused)).await;
}

#[tokio::test]
async fn heads_that_are_none_are_refused() {
    let gateway = open_gateway().await;
    // More than the limit and what may be read at once beyond it.
    let too_long = HANDSHAKE.replace("Host", &format!("X: {}\r\nHost", "x".repeat(80 * 1024)));
    for (sent, status) in [
        (
            "\u{1}\u{2}\u{3} nothing\r\n\r\n".to_owned(),
            "HTTP/1.1 400 ",
        ),
        (HANDSHAKE.replace("Host: a", "Host"), "HTTP/1.1 400 "),
        (too_long, "HTTP/1.1 431 "),
        (HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.0 426 "),
        (HANDSHAKE.replace("GET", "PUT"), "HTTP/1.1 426 "),
        (HANDSHAKE.replace("Q==", "Q="), "HTTP/1.1 426 "),
    ] {
        let mut raw = Raw::open(&gateway).await;
        raw.send(&sent).await;
        raw.expect(status, 1).await;
    }
    let counted = gateway.http().get("/metrics").send().await;
    assert!(
        counted
            .body
            .contains(r#"handshakes_refused_total{code="426"} 3"#),
        "{}",
        counted.body
    );
    gateway.end(()).await;
}

#[tokio::test]
async fn a_stream_may_end_at_any_time() {
    let gateway = open_gateway().await;
    for sent in ["", "G", "GET /", &HANDSHAKE[..HANDSHAKE.len() - 2]] {
        let mut raw = Raw::open(&gateway).await;
        raw.send(sent).await;
        raw.stream.shutdown().await.expect("a socket");
        raw.rest().await;
        assert!(!raw.text().contains("101"), "{sent}: {}", raw.text());
    }
    gateway.end(()).await;
}

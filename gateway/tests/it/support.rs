//! A gateway for one test, and what tests do with it.

mod http;
mod json;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Client, Error, Options, Socket};
use gateway::config::{ChannelOptions, Config, NamespaceConfig};
use gateway::{Gateway, Surroundings};
use runtime::config::Timespan;
use serde_json::{Value, json};
use testkit::eventually;
use wire::{ConnectRequest, ConnectResult, Format, Push, PushBody, Request};

pub(crate) use self::http::Http;
pub(crate) use self::json::JsonSocket;

/// The key of tokens in tests.
pub(crate) const SECRET: &str = "a secret of the tests";
/// The key of the server API in tests.
pub(crate) const API_KEY: &str = "an API key of the tests";
/// Both formats, for tests of what both must do.
pub(crate) const FORMATS: [Format; 2] = [Format::Json, Format::Protobuf];
/// How long something may take that happens at once; generous, because tests run
/// in parallel on few cores.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A gateway at a free port. What every test must leave behind is checked by
/// [`end`](Self::end).
#[derive(Debug)]
pub(crate) struct TestGateway {
    gateway: Gateway,
}

impl TestGateway {
    /// Starts a gateway by itself.
    pub(crate) async fn start(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.http_server.address = "127.0.0.1".to_owned();
        config.http_server.port = 0;
        config.client.token.hmac_secret_key = SECRET.into();
        config.http_api.key = API_KEY.into();
        config.shutdown.timeout = Timespan::from_secs(10);
        configure(&mut config);
        let problems = config.validate();
        assert!(problems.is_empty(), "{problems:?}");
        let gateway = Gateway::start(config, Surroundings::default()).await;
        Self {
            gateway: gateway.expect("the gateway starts"),
        }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.gateway.address())
    }

    /// A connection that has sent nothing.
    pub(crate) async fn open(&self, format: Format) -> Client {
        Client::open(&self.url(), format)
            .await
            .expect("the handshake succeeds")
    }

    /// A raw connection that has sent nothing.
    pub(crate) async fn socket(&self, format: Format) -> Socket {
        Socket::open(&self.url(), &Options::new(format))
            .await
            .expect("the handshake succeeds")
    }

    /// A raw JSON connection that has sent nothing.
    pub(crate) async fn json(&self) -> JsonSocket {
        JsonSocket::new(self.socket(Format::Json).await)
    }

    /// A raw JSON connection of a user.
    pub(crate) async fn json_user(&self, user: &str) -> JsonSocket {
        let mut socket = self.json().await;
        let token = token(&json!({ "sub": user }));
        let reply = socket.ask(json!({ "connect": { "token": token } })).await;
        assert!(reply["connect"].is_object(), "{reply}");
        socket
    }

    /// A connected user.
    pub(crate) async fn user(&self, format: Format, user: &str) -> Client {
        self.connected(format, &json!({ "sub": user })).await.0
    }

    /// A client connected with a token of these claims.
    pub(crate) async fn connected(
        &self,
        format: Format,
        claims: &Value,
    ) -> (Client, ConnectResult) {
        let client = self.open(format).await;
        let connected = client.connect(with_token(&token(claims))).await;
        (client, connected.expect("the token is good"))
    }

    /// HTTP requests to the public port.
    pub(crate) fn http(&self) -> Http {
        Http::new(self.gateway.address())
    }

    /// Calls the server API.
    pub(crate) async fn api(&self, method: &str, params: &Value) -> Value {
        let response = self
            .http()
            .post(&format!("/api/{method}"))
            .header("X-API-Key", API_KEY)
            .body(params.to_string())
            .send()
            .await;
        assert_eq!(response.status, 200, "{}", response.body);
        response.json()
    }

    /// Calls the server API, which must succeed; returns the result.
    pub(crate) async fn api_ok(&self, method: &str, params: &Value) -> Value {
        let mut answer = self.api(method, params).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Calls the server API, which must fail; returns the code.
    pub(crate) async fn api_error(&self, method: &str, params: &Value) -> Value {
        let mut answer = self.api(method, params).await;
        assert!(answer["result"].is_null(), "{method}: {answer}");
        answer["error"]["code"].take()
    }

    /// Lets the clients go; then the node must hold nothing, and must be able to leave.
    pub(crate) async fn end<T>(self, clients: T) {
        drop(clients);
        self.is_empty().await;
        assert!(self.gateway.drain().await, "everything ends in time");
    }

    /// Waits until the node holds no connection, no channel and no subscription.
    pub(crate) async fn is_empty(&self) {
        eventually(SOON, async || self.gateway.holds() == (0, 0, 0)).await;
    }

    /// Leaves, with whatever clients there are.
    pub(crate) async fn drain(self) -> bool {
        self.gateway.drain().await
    }
}

/// Adds a namespace.
pub(crate) fn namespace(
    config: &mut Config,
    name: &str,
    configure: impl FnOnce(&mut ChannelOptions),
) {
    let mut options = ChannelOptions::default();
    configure(&mut options);
    config.channel.namespaces.push(NamespaceConfig {
        name: name.to_owned(),
        options,
    });
}

/// Makes a namespace keep its publications.
pub(crate) fn with_history(options: &mut ChannelOptions, size: u32) {
    options.history_size = size;
    options.history_ttl = Timespan::from_secs(300);
}

/// Signs a token.
pub(crate) fn token(claims: &Value) -> String {
    auth::sign_hs256(SECRET, claims)
}

/// A request to connect with a token.
pub(crate) fn with_token(token: &str) -> ConnectRequest {
    ConnectRequest {
        token: token.to_owned(),
        ..ConnectRequest::default()
    }
}

/// A request to subscribe.
pub(crate) fn subscribing(channel: &str) -> wire::SubscribeRequest {
    wire::SubscribeRequest {
        channel: channel.to_owned(),
        ..wire::SubscribeRequest::default()
    }
}

/// Unix seconds, `offset` from now.
pub(crate) fn unix(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is right").as_secs();
    i64::try_from(now).expect("it is not that late") + offset
}

/// The code of an error reply; anything else fails the test.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> u32 {
    let error = result.expect_err("it is refused");
    let code = error.code();
    code.unwrap_or_else(|| panic!("it is answered with an error, not {error}"))
        .0
}

/// The code that the server closes the connection with.
pub(crate) async fn close_code(client: &Client) -> u16 {
    client.closed().await.expect("it is closed").code
}

/// Sends a command that must end the connection; returns the code.
pub(crate) async fn closes(client: &Client, request: Request) -> u16 {
    let error = client.call(request).await.expect_err("it is not answered");
    assert!(error.closed().is_some(), "it closes, not {error}");
    close_code(client).await
}

/// The next push, which must be a publication in this channel.
pub(crate) async fn publication(client: &mut Client, channel: &str) -> wire::Publication {
    let push = client.next_push().await.expect("a publication");
    assert_eq!(push.channel, channel);
    match push.body {
        PushBody::Publication(publication) => publication,
        other => panic!("a publication is expected, not {other:?}"),
    }
}

/// The next push, which must end the subscription to a channel; returns the code.
pub(crate) async fn unsubscribed(client: &mut Client, channel: &str) -> u32 {
    let push = client.next_push().await.expect("an unsubscribe push");
    assert_eq!(push.channel, channel);
    match push.body {
        PushBody::Unsubscribe(push) => push.code,
        other => panic!("an end of the subscription is expected, not {other:?}"),
    }
}

/// Shows that nothing comes for a client: a call made now is answered before any
/// push.
pub(crate) async fn nothing_comes(client: &mut Client) {
    client.unsubscribe("nowhere").await.expect("it is answered");
    let next: Result<Push, Error> = client.next_push_within(Duration::from_millis(1)).await;
    assert!(matches!(next, Err(Error::Timeout)), "{next:?}");
}

use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};

use super::*;
use crate::config::Secret;

const DEADLINE: Duration = Duration::from_secs(5);

/// A service that says who it thinks is calling, and one that never answers.
fn routes() -> Routes {
    async fn echo(request: Request) -> impl IntoResponse {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        headers.insert("grpc-status", "0".parse().unwrap());
        headers.insert(
            "x-caller",
            encode_user(&format!("{caller:?}")).parse().unwrap(),
        );
        let key = request.headers().contains_key(AUTHORIZATION);
        headers.insert("x-saw-key", key.to_string().parse().unwrap());
        headers
    }
    async fn hang() {
        std::future::pending::<()>().await;
    }
    Routes::from(
        Routes::default()
            .into_axum_router()
            .route("/test.Echo/Call", post(echo))
            .route("/test.Hang/Call", post(hang)),
    )
}

struct Answer {
    code: Code,
    caller: String,
    saw_key: bool,
}

async fn call(channel: &Channel, path: &str, metadata: MetadataMap) -> Answer {
    let mut request = http::Request::post(format!("http://service/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::empty())
        .unwrap();
    request.headers_mut().extend(metadata.into_headers());
    let mut channel = channel.clone();
    let sent = match channel.ready().await {
        Ok(channel) => channel.call(request).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(response) => {
            let header = |name: &str| {
                let value = response.headers().get(name);
                value.map_or("", |v| v.to_str().unwrap()).to_owned()
            };
            Answer {
                code: Code::from_bytes(header("grpc-status").as_bytes()),
                caller: decode_user(header("x-caller").as_bytes()).unwrap(),
                saw_key: header("x-saw-key") == "true",
            }
        }
        Err(error) => Answer {
            code: tonic::Status::from_error(error.into()).code(),
            caller: String::new(),
            saw_key: false,
        },
    }
}

fn outgoing(key: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let outgoing = Outgoing::new("gateway", &Secret::new(key), DEADLINE).unwrap();
    outgoing.apply(&mut metadata);
    metadata
}

fn in_process(options: ServeOptions) -> Channel {
    let shutdown = CancellationToken::new();
    duplex_channel(routes(), options, DEADLINE, shutdown, Duration::ZERO)
}

struct Served {
    address: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

async fn served(options: ServeOptions, drain: Duration) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // A name rather than a number: this goes through the resolver.
    let address = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, routes(), options, shutdown.clone(), drain));
    Served {
        address,
        shutdown,
        task,
    }
}

#[tokio::test]
async fn the_caller_is_known_to_the_service() {
    let channel = in_process(ServeOptions::default());
    let mut metadata = outgoing("");
    Outgoing::set_user(&mut metadata, "Zoë %/\n");
    let answer = call(&channel, "test.Echo/Call", metadata).await;
    assert_eq!(answer.code, Code::Ok);
    let expected = Caller {
        user: Some("Zoë %/\n".to_owned()),
        service: Some("gateway".to_owned()),
    };
    assert_eq!(answer.caller, format!("{expected:?}"));
}

#[tokio::test]
async fn without_the_shared_key_nothing_is_answered() {
    let options = ServeOptions {
        shared_key: Secret::new("s3cret"),
        ..ServeOptions::default()
    };
    let channel = in_process(options);
    for key in ["", "wrong"] {
        let answer = call(&channel, "test.Echo/Call", outgoing(key)).await;
        assert_eq!(answer.code, Code::Unauthenticated);
    }
    let answer = call(&channel, "test.Echo/Call", outgoing("s3cret")).await;
    assert_eq!(answer.code, Code::Ok);
    assert!(!answer.saw_key, "the key goes no further than the check");
}

#[tokio::test]
async fn malformed_metadata_is_refused() {
    let channel = in_process(ServeOptions::default());
    let mut metadata = outgoing("");
    metadata.insert(USER, "%+1".parse().unwrap());
    let answer = call(&channel, "test.Echo/Call", metadata).await;
    assert_eq!(answer.code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_is_counted() {
    let mut registry = Registry::default();
    let options = ServeOptions {
        metrics: Metrics::register(&mut registry),
        ..ServeOptions::default()
    };
    let served = served(options, DEADLINE).await;
    // A client without a clock of its own: ours would reset the call itself.
    let stream = TcpStream::connect(served.address.trim_start_matches("http://"))
        .await
        .unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("{}/test.Hang/Call", served.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "50m")
        .body(tonic::body::Body::empty())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    let code = Code::from_bytes(response.headers()["grpc-status"].as_bytes());
    assert!(
        matches!(code, Code::Cancelled | Code::DeadlineExceeded),
        "{code:?}"
    );
    let channel = connect_lazy(&served.address, DEADLINE).unwrap();
    call(&channel, "no.Such/Method", outgoing("")).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains(r#"method="test.Hang/Call",code="DEADLINE_EXCEEDED""#),
        "{text}"
    );
    assert!(!text.contains("no.Such"), "{text}");
}

#[test]
fn a_caller_that_resets_at_its_own_deadline_is_no_cancellation() {
    let ms = Duration::from_millis;
    for (took, timeout, code) in [
        (ms(50), ms(50), Code::DeadlineExceeded),
        (
            Duration::from_micros(49_957),
            ms(50),
            Code::DeadlineExceeded,
        ),
        (ms(2_990), ms(3_000), Code::DeadlineExceeded),
        (ms(2_989), ms(3_000), Code::Cancelled),
        (ms(8), ms(10), Code::Cancelled),
        (Duration::ZERO, ms(1), Code::Cancelled),
    ] {
        assert_eq!(server::code_of_dropped(took, timeout), code, "{took:?}");
    }
}

#[tokio::test]
async fn names_are_resolved_and_health_follows_the_shutdown() {
    let options = ServeOptions {
        shared_key: Secret::new("s3cret"),
        health: &["test.Echo"],
        ..ServeOptions::default()
    };
    let served = served(options, DEADLINE).await;
    let channel = connect_lazy(&served.address, DEADLINE).unwrap();
    let answer = call(&channel, "test.Echo/Call", outgoing("s3cret")).await;
    assert_eq!(answer.code, Code::Ok);

    let mut health = HealthClient::new(channel);
    let service = "test.Echo".to_owned();
    let mut watch = health
        .watch(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "serving");
    served.shutdown.cancel();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status,
        2,
        "not serving"
    );
    drop((watch, health));
    served.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn neither_a_hanging_call_nor_a_silent_connection_holds_up_the_end() {
    let served = served(ServeOptions::default(), Duration::from_millis(200)).await;
    let address = served.address.trim_start_matches("http://").to_owned();
    // It has spoken with a server that is up, so it is accepted; then it says nothing.
    let mut silent = TcpStream::connect(&address).await.unwrap();
    silent.read_u8().await.unwrap();
    let channel = connect_lazy(&served.address, DEADLINE).unwrap();
    assert_eq!(
        call(&channel, "test.Echo/Call", outgoing("")).await.code,
        Code::Ok
    );
    let hanging = {
        let channel = channel.clone();
        tokio::spawn(async move { call(&channel, "test.Hang/Call", outgoing("")).await })
    };
    // The call is under way once another on the same connection was answered.
    tokio::task::yield_now().await;
    assert_eq!(
        call(&channel, "test.Echo/Call", outgoing("")).await.code,
        Code::Ok
    );

    let began = Instant::now();
    served.shutdown.cancel();
    served.task.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    let answer = hanging.await.unwrap();
    assert_eq!(answer.code, Code::Unavailable);
    drop(silent);
}

#[tokio::test]
async fn a_service_that_is_down_is_said_to_be_so_at_once() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    for host in ["127.0.0.1", "localhost", "no-such-host.invalid"] {
        let channel = connect_lazy(&format!("http://{host}:{port}"), DEADLINE).unwrap();
        let answer = call(&channel, "test.Echo/Call", outgoing("")).await;
        assert_eq!(answer.code, Code::Unavailable, "{host}");
    }
}

#[tokio::test]
async fn an_address_must_be_one() {
    for address in ["", "chat:9000", "https://chat:9000", "http://", "/x"] {
        assert!(connect_lazy(address, DEADLINE).is_err(), "{address}");
    }
}

#[test]
fn a_user_id_survives_the_metadata_and_no_bytes_panic() {
    for user in ["", "alice", "a/b c", "Zoë", "%41", "用户"] {
        assert_eq!(
            decode_user(encode_user(user).as_bytes()).as_deref(),
            Some(user)
        );
    }
    for bad in [&b"%"[..], b"%4", b"%zz", b"%+1", b"\xff", b"%ff"] {
        assert_eq!(decode_user(bad), None);
    }
    assert_eq!(decode_user(&[b'a'; 5000]), None);
}

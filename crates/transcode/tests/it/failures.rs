//! Failures: what a service says reaches the client, what happens to it does not.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use proto::chat::v1::{Message, SendMessageResponse};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use transcode::{CallError, PayloadFormat, Services};

use crate::support::{Chat, a_message, call, chat_at, serve};

fn internal() -> CallError {
    CallError {
        code: 100,
        message: "internal server error".to_owned(),
        temporary: true,
    }
}

#[tokio::test]
async fn every_status_has_its_code() {
    let chat = Chat::spawn().await;
    for (code, expected, message, temporary) in [
        (Code::InvalidArgument, 107, "bad request: why", false),
        (Code::OutOfRange, 107, "bad request: why", false),
        (Code::Unauthenticated, 101, "unauthorized", false),
        (Code::PermissionDenied, 103, "why", false),
        (Code::Unimplemented, 104, "method not found", false),
        (Code::ResourceExhausted, 111, "why", true),
        (Code::NotFound, 404, "why", false),
        (Code::AlreadyExists, 409, "why", false),
        (Code::Aborted, 409, "why", true),
        (Code::FailedPrecondition, 412, "why", false),
        (Code::Cancelled, 100, "internal server error", true),
        (Code::Unknown, 100, "internal server error", true),
        (Code::DeadlineExceeded, 100, "internal server error", true),
        (Code::Internal, 100, "internal server error", true),
        (Code::Unavailable, 100, "internal server error", true),
        (Code::DataLoss, 100, "internal server error", true),
    ] {
        chat.answer(Err(Status::new(code, "why")));
        let error = chat.send(a_message()).await.unwrap_err();
        assert_eq!(
            (error.code, &*error.message),
            (expected, message),
            "{code:?}"
        );
        assert_eq!(error.temporary, temporary, "{code:?}");
    }
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up_in_time() {
    let chat = Chat::spawn_with(|service| service.timeout = Duration::from_millis(50)).await;
    *chat.fake.send_message.lock().unwrap() = None;
    assert_eq!(chat.send(a_message()).await, Err(internal()));
    assert_eq!(chat.fake.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_an_internal_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let services = || {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut service = chat_at(endpoint.connect_lazy());
        service.timeout = Duration::from_millis(200);
        Services::new(vec![service]).unwrap()
    };
    let payload = Bytes::from_static(b"{}");

    // Accepts, and says nothing.
    let answer = call(&services(), "chat.GetRoom", &payload, PayloadFormat::Json).await;
    assert_eq!(answer, Err(internal()));

    // Is not there.
    drop(listener);
    let answer = call(&services(), "chat.GetRoom", &payload, PayloadFormat::Json).await;
    assert_eq!(answer, Err(internal()));
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_the_clients_fault() {
    let chat = Chat::spawn().await;
    chat.answer(Ok(SendMessageResponse {
        message: Some(Message {
            text: "a".repeat(5 * 1024 * 1024),
            ..Message::default()
        }),
        offset: 0,
    }));
    assert_eq!(chat.send(a_message()).await, Err(internal()));
}

#[tokio::test]
async fn what_a_proxy_in_between_says_is_not_the_services_word() {
    for status in [
        StatusCode::FORBIDDEN,
        StatusCode::UNAUTHORIZED,
        StatusCode::NOT_FOUND,
        StatusCode::BAD_GATEWAY,
        StatusCode::IM_A_TEAPOT,
    ] {
        let proxy = axum::Router::new().fallback(move || async move { (status, "secret") });
        let services = Services::new(vec![chat_at(serve(Routes::from(proxy)).await)]).unwrap();
        let payload = Bytes::from_static(b"{}");
        let answer = call(&services, "chat.GetRoom", &payload, PayloadFormat::Json).await;
        assert_eq!(answer, Err(internal()), "{status}");
    }
}

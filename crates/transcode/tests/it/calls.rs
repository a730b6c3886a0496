//! Which methods can be called, by whom, and what a service is told of the call.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tonic::service::Routes;
use transcode::{Call, Caller, Client, Error, PayloadFormat, Service, Services};

use crate::support::{Chat, a_message, call, chat_at, serve};

#[tokio::test]
async fn unknown_services_and_methods_have_codes_of_their_own() {
    let chat = Chat::spawn().await;
    for (method, code, message) in [
        ("shop.Buy", 108, "not available"),
        (".SendMessage", 108, "not available"),
        ("chat.Explode", 104, "method not found"),
        ("chat.", 104, "method not found"),
        ("chat.sendMessage", 104, "method not found"),
        ("chat.SendMessage.x", 104, "method not found"),
        ("SendMessage", 104, "method not found"),
        ("", 104, "method not found"),
        // Known to the descriptors, unknown to the service.
        ("chat.JoinRoom", 104, "method not found"),
    ] {
        let error = chat.json(method, "{}").await.unwrap_err();
        assert_eq!((error.code, &*error.message), (code, message), "{method}");
        assert!(!error.temporary, "{method}");
    }
}

#[tokio::test]
async fn a_service_is_told_who_calls() {
    let chat = Chat::spawn_with(|service| {
        service.shared_key = "k3y".to_owned();
        service.timeout = Duration::from_secs(7);
    })
    .await;
    let payload = Bytes::from(a_message().to_string());
    let mut request = Call {
        method: "chat.SendMessage",
        payload: &payload,
        format: PayloadFormat::Json,
        caller: Caller::Client(Client {
            user: "ada%20l".to_owned(),
            client: "c1".to_owned(),
        }),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    };
    chat.services.call(request).await.unwrap();
    let told = chat.fake.metadata.lock().unwrap().pop().unwrap();
    let text = |name: &str| told.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(text("fanfare-user"), Some("ada%20l"));
    assert_eq!(text("fanfare-client"), Some("c1"));
    assert_eq!(text("fanfare-service"), None);
    assert_eq!(text("authorization"), Some("Bearer k3y"));
    assert_eq!(
        text("traceparent"),
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    );
    assert_eq!(text("grpc-timeout"), Some("7000000u"));

    request = Call {
        method: "chat.SendMessage",
        payload: &payload,
        format: PayloadFormat::Json,
        caller: Caller::Backend {
            user: String::new(),
        },
        traceparent: None,
    };
    chat.services.call(request).await.unwrap();
    let told = chat.fake.metadata.lock().unwrap().pop().unwrap();
    let text = |name: &str| told.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(text("fanfare-service"), Some("api"));
    assert_eq!(text("fanfare-user"), None);
    assert_eq!(text("fanfare-client"), None);
    assert_eq!(text("traceparent"), None);
}

#[tokio::test]
async fn internal_methods_are_for_the_backend_alone() {
    let chat = Chat::spawn_with(|service| {
        service.internal_methods = vec!["SendMessage".to_owned()];
    })
    .await;
    let error = chat.send(a_message()).await.unwrap_err();
    assert_eq!(error.code, 104);
    assert!(chat.fake.requests.lock().unwrap().is_empty());

    let payload = Bytes::from(a_message().to_string());
    let by_backend = Call {
        method: "chat.SendMessage",
        payload: &payload,
        format: PayloadFormat::Json,
        caller: Caller::Backend {
            user: "42".to_owned(),
        },
        traceparent: None,
    };
    chat.services.call(by_backend).await.unwrap();
    assert_eq!(chat.fake.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn any_service_with_descriptors_can_be_called_except_its_streams() {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let services = Services::new(vec![Service {
        name: "health".to_owned(),
        grpc_service: "grpc.health.v1.Health".to_owned(),
        descriptors: Bytes::from_static(tonic_health::pb::FILE_DESCRIPTOR_SET),
        ..chat_at(serve(Routes::new(health)).await)
    }])
    .unwrap();
    let payload = Bytes::from_static(b"{}");
    let answer = call(&services, "health.Check", &payload, PayloadFormat::Json).await;
    assert_eq!(answer.unwrap(), json!({"status": "SERVING"}).to_string());
    let error = call(&services, "health.Watch", &payload, PayloadFormat::Json)
        .await
        .unwrap_err();
    assert_eq!(error.code, 104);
}

#[tokio::test]
async fn services_that_cannot_work_are_refused_at_start_without_telling_the_key() {
    let chat = || chat_at(tonic::transport::Endpoint::from_static("http://[::1]:1").connect_lazy());

    let mut service = chat();
    service.descriptors = Bytes::from_static(b"\xff\xff");
    let error = Services::new(vec![service]).unwrap_err();
    assert!(matches!(error, Error::Descriptors { .. }), "{error}");

    let mut service = chat();
    service.grpc_service = "fanfare.chat.v1.Nothing".to_owned();
    let error = Services::new(vec![service]).unwrap_err();
    assert!(matches!(error, Error::UnknownService { .. }), "{error}");

    let mut service = chat();
    service.shared_key = "s3cret\n".to_owned();
    assert!(!format!("{service:?}").contains("s3cret"));
    let error = Services::new(vec![service]).unwrap_err();
    assert!(matches!(error, Error::SharedKey { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"));

    let mut service = chat();
    service.shared_key = "s3cret".to_owned();
    let services = Services::new(vec![service]).unwrap();
    assert!(!format!("{services:?}").contains("s3cret"));
}

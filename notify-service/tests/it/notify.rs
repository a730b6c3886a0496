//! Notifying: who may, how many, how often.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use proto::notify::v1::{GetCountsRequest, ListInboxRequest, NotifyRequest};
use runtime::grpc::USER;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::on_both;
use crate::support::{TestService, by, by_service, notify_request};

on_both! {
    a_notification_arrives_whole,
    only_services_notify,
    a_thousand_users_are_notified_once_per_key,
    bad_input_says_what_is_wrong,
}

async fn a_notification_arrives_whole(service: &TestService) {
    let number = Value {
        kind: Some(Kind::NumberValue(7.0)),
    };
    let fields = BTreeMap::from([("seq".to_owned(), number)]);
    let request = NotifyRequest {
        body: "look".to_owned(),
        link: "/rooms/r1".to_owned(),
        actor: "bob".to_owned(),
        data: Some(Struct { fields }),
        ..notify_request(&["ann"], "Bob mentioned you")
    };
    let response = service
        .notify
        .clone()
        .notify(by_service(request.clone()))
        .await
        .unwrap();
    let [result] = &*response.into_inner().results else {
        panic!("one result");
    };
    assert!(!result.duplicate);
    let inbox = service.list("ann", ListInboxRequest::default()).await;
    let [notification] = &*inbox.notifications else {
        panic!("one notification");
    };
    assert_eq!(notification.id, result.notification_id);
    assert_eq!(notification.user, "ann");
    assert_eq!(notification.category, request.category);
    assert_eq!(notification.title, request.title);
    assert_eq!(notification.body, request.body);
    assert_eq!(notification.link, request.link);
    assert_eq!(notification.actor, request.actor);
    assert_eq!(notification.data, request.data);
    assert!(notification.created_at.is_some());
    assert_eq!(notification.read_at, None);
    assert_eq!(inbox.counts.unwrap().unread, 1);
}

async fn only_services_notify(service: &TestService) {
    let mut client = service.notify.clone();
    let request = notify_request(&["ann"], "hello");
    let user = client.notify(by("bob", request.clone())).await.unwrap_err();
    assert_eq!(user.code(), Code::PermissionDenied);
    let nobody = client
        .notify(Request::new(request.clone()))
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    // What a gateway says of an anonymous client.
    let mut anonymous = by_service(request);
    anonymous
        .metadata_mut()
        .insert(USER, MetadataValue::from_static(""));
    let anonymous = client.notify(anonymous).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::PermissionDenied);
    let inbox = client
        .get_counts(by_service(GetCountsRequest {}))
        .await
        .unwrap_err();
    assert_eq!(inbox.code(), Code::Unauthenticated, "an inbox is a user's");
}

async fn a_thousand_users_are_notified_once_per_key(service: &TestService) {
    let names: Vec<String> = (0..1_000).map(|n| format!("user-{n}")).collect();
    let mut users: Vec<&str> = names.iter().map(String::as_str).collect();
    let notify = async |users: &[&str]| {
        let request = NotifyRequest {
            idempotency_key: "release-1".to_owned(),
            ..notify_request(users, "Release 1")
        };
        let response = service.notify.clone().notify(by_service(request)).await;
        response.map(|response| response.into_inner().results)
    };
    // As if a first call had failed after a part.
    let first = notify(&users[300..450]).await.unwrap();
    assert!(first.iter().all(|result| !result.duplicate));
    let all = notify(&users).await.unwrap();
    let in_order: Vec<&str> = all.iter().map(|result| &*result.user).collect();
    assert_eq!(in_order, users);
    assert_eq!(all.iter().filter(|result| result.duplicate).count(), 150);
    assert_eq!(all[300].notification_id, first[0].notification_id);
    for user in ["user-0", "user-300", "user-999"] {
        let inbox = service.list(user, ListInboxRequest::default()).await;
        assert_eq!(inbox.notifications.len(), 1);
        service.published(user, 1).await;
    }
    users.push("one-more");
    assert_eq!(
        notify(&users).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let twice = notify(&["new", "new"]).await.unwrap();
    assert_eq!(twice.len(), 1, "named twice, notified once");
}

async fn bad_input_says_what_is_wrong(service: &TestService) {
    let check = async |part: &str, request: NotifyRequest| {
        let status = service
            .notify
            .clone()
            .notify(by_service(request))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{part}: {status}");
        assert!(status.message().contains(part), "{part}: {status}");
    };
    let good = || notify_request(&["ann"], "hello");
    check("users", notify_request(&[], "hello")).await;
    check("users[1]", notify_request(&["ann", "a,b"], "hello")).await;
    check(
        "category",
        NotifyRequest {
            category: String::new(),
            ..good()
        },
    )
    .await;
    check("title", notify_request(&["ann"], "")).await;
    check("title", notify_request(&["ann"], "nul \0")).await;
    check(
        "body",
        NotifyRequest {
            body: "b".repeat(5_000),
            ..good()
        },
    )
    .await;
    check(
        "link",
        NotifyRequest {
            link: "javascript:alert(1)".to_owned(),
            ..good()
        },
    )
    .await;
    check(
        "idempotency_key",
        NotifyRequest {
            idempotency_key: "k".repeat(129),
            ..good()
        },
    )
    .await;
    let nan = Value {
        kind: Some(Kind::NumberValue(f64::NAN)),
    };
    let fields = BTreeMap::from([("n".to_owned(), nan)]);
    check(
        "data",
        NotifyRequest {
            data: Some(Struct { fields }),
            ..good()
        },
    )
    .await;
    assert!(
        service
            .list("ann", ListInboxRequest::default())
            .await
            .notifications
            .is_empty()
    );
}

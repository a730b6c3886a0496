//! What reaches the user's devices, and what a gateway asks.

use proto::log::v1::{AuthorizeSubscribeRequest, ReadLogRequest};
use proto::notify::v1::{ArchiveRequest, ListInboxRequest, MarkAllReadRequest, MarkReadRequest};
use serde_json::json;
use tonic::{Code, Request};

use crate::on_both;
use crate::support::{SOON, TestService, by};

on_both! {
    every_change_is_published_in_order,
    an_empty_inbox_has_a_position_to_subscribe_with,
    only_the_owner_may_subscribe,
    the_log_can_be_read,
}

async fn every_change_is_published_in_order(service: &TestService) {
    let mut client = service.notify.clone();
    let id = service.notify(&["ann"], "hello").await.remove(0);
    let ids = vec![id.clone()];
    let read = MarkReadRequest {
        ids: ids.clone(),
        unread: false,
    };
    client.mark_read(by("ann", read.clone())).await.unwrap();
    client.mark_read(by("ann", read)).await.unwrap();
    service.notify(&["ann"], "again").await;
    client
        .mark_all_read(by("ann", MarkAllReadRequest {}))
        .await
        .unwrap();
    client
        .archive(by("ann", ArchiveRequest { ids }))
        .await
        .unwrap();

    let events = service.published("ann", 5).await;
    let counts =
        |unread: u64, version: u64| json!({"unread": unread, "unseen": unread, "version": version});
    assert_eq!(events.len(), 5, "what changes nothing is not published");
    assert_eq!(events[0]["counts"], counts(1, 1));
    assert_eq!(events[0]["created"]["id"], id);
    assert_eq!(events[0]["created"]["title"], "hello");
    assert!(events[0]["created"].get("body").is_none());
    let changed = |state: &str| json!({"ids": [id], "state": state});
    assert_eq!(
        events[1],
        json!({"counts": counts(0, 2), "changed": changed("STATE_READ")})
    );
    assert_eq!(events[2]["counts"], counts(1, 3));
    assert_eq!(events[3]["counts"], counts(0, 4));
    assert_eq!(
        events[3]["all_read"]["until"],
        events[2]["created"]["created_at"]
    );
    assert_eq!(
        events[4],
        json!({"counts": counts(0, 5), "changed": changed("STATE_ARCHIVED")})
    );

    let inbox = service.list("ann", ListInboxRequest::default()).await;
    let history = service.history("ann").await;
    assert_eq!(inbox.channel, "inbox:#ann");
    assert_eq!(
        (inbox.epoch.as_str(), inbox.offset),
        (&*history.position.epoch, 5)
    );
    let offsets: Vec<u64> = history.publications.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5]);
}

async fn an_empty_inbox_has_a_position_to_subscribe_with(service: &TestService) {
    let inbox = service.list("ann", ListInboxRequest::default()).await;
    assert!(inbox.notifications.is_empty());
    assert!(!inbox.epoch.is_empty());
    service.published("ann", 1).await;
    let position = service.history("ann").await.position;
    assert_eq!(
        (&*position.epoch, position.offset),
        (inbox.epoch.as_str(), inbox.offset)
    );
    service.notify(&["ann"], "hello").await;
    service.published("ann", 2).await;
    assert_eq!(&*service.history("ann").await.position.epoch, inbox.epoch);
}

async fn only_the_owner_may_subscribe(service: &TestService) {
    let ask = async |channel: &str, user: &str| {
        let request = AuthorizeSubscribeRequest {
            channel: channel.to_owned(),
            user: user.to_owned(),
        };
        let answer = service
            .log
            .clone()
            .authorize_subscribe(Request::new(request))
            .await;
        answer.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(ask("inbox:#ann", "ann").await, Ok(()));
    assert_eq!(ask("inbox:#ann", "eve").await, Err(Code::PermissionDenied));
    assert_eq!(ask("inbox:#ann", "").await, Err(Code::PermissionDenied));
    assert_eq!(ask("inbox:#ann,eve", "eve").await, Err(Code::NotFound));
    assert_eq!(ask("inbox:#", "").await, Err(Code::NotFound));
    assert_eq!(ask("room:1", "ann").await, Err(Code::NotFound));
    // From then on the broker has the inbox's own epoch, whatever comes first.
    testkit::eventually(SOON, async || {
        service.history("ann").await.position.offset == 1
    })
    .await;
}

async fn the_log_can_be_read(service: &TestService) {
    for n in 0..5 {
        service.notify(&["ann"], &format!("number {n}")).await;
    }
    let read = async |epoch: &str, since_offset, limit| {
        let channel = "inbox:#ann".to_owned();
        let request = ReadLogRequest {
            channel,
            epoch: epoch.to_owned(),
            since_offset,
            limit,
        };
        service.log.clone().read_log(Request::new(request)).await
    };
    let first = read("", 0, 2).await.unwrap().into_inner();
    assert_eq!(first.top_offset, 5);
    let rest = read(&first.epoch, 2, 100).await.unwrap().into_inner();
    let publications = first.publications.iter().chain(&rest.publications);
    let read_events: Vec<serde_json::Value> = publications
        .map(|p| serde_json::from_slice(&p.data).unwrap())
        .collect();
    assert_eq!(
        read_events,
        service.published("ann", 5).await,
        "exactly as published"
    );
    assert_eq!(
        read("other", 0, 2).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
}

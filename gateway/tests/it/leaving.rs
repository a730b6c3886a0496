//! A node that leaves: everybody is told to go elsewhere.

use runtime::config::Timespan;
use serde_json::json;
use wire::Format;

use crate::support::{FORMATS, TestGateway, close_code, namespace};

#[tokio::test]
async fn all_clients_are_told_and_it_ends_in_time() {
    let gateway = TestGateway::start(|config| {
        namespace(config, "open", |options| {
            options.allow_subscribe_for_client = true;
        });
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..40 {
        let client = gateway.user(FORMATS[n % 2], &format!("user{n}")).await;
        client.subscribe("open:a").await.expect("it may");
        clients.push(client);
    }
    // One that never connects is not forgotten.
    let stranger = gateway.open(Format::Json).await;
    let leaving = tokio::spawn(gateway.drain());
    for client in &clients {
        let closed = client.closed().await.expect("it is closed");
        assert_eq!((closed.code, &*closed.reason), (3001, "shutdown"));
    }
    drop(stranger);
    assert!(
        leaving.await.expect("it does not panic"),
        "everything ends in time"
    );
}

#[tokio::test]
async fn a_node_that_leaves_is_unready_and_takes_nobody() {
    let gateway = TestGateway::start(|config| {
        config.shutdown.delay = Timespan::from_secs(2);
    })
    .await;
    let (http, url) = (gateway.http(), gateway.url());
    let client = gateway.user(Format::Json, "alice").await;
    let leaving = tokio::spawn(gateway.drain());
    testkit::eventually(crate::support::SOON, async || {
        http.get("/health/ready").send().await.status == 503
    })
    .await;
    assert_eq!(http.get("/health/live").send().await.status, 200);
    let options = client::Options::new(Format::Json);
    let refused = client::Socket::open(&url, &options)
        .await
        .expect_err("nobody more");
    assert!(
        matches!(refused, client::Error::Refused { status: 503, .. }),
        "{refused}"
    );
    client
        .unsubscribe("nothing")
        .await
        .expect("who is there is served meanwhile");
    assert_eq!(close_code(&client).await, 3001);
    assert!(leaving.await.expect("it does not panic"));
}

#[tokio::test]
async fn a_client_that_does_not_let_go_is_left_behind() {
    let gateway = TestGateway::start(|config| {
        config.shutdown.timeout = Timespan::from_secs(8);
    })
    .await;
    let mut socket = gateway.json_user("alice").await;
    socket
        .ask(json!({ "unsubscribe": { "channel": "nothing" } }))
        .await;
    // It never answers the close frame: it does not even read it.
    assert!(
        gateway.drain().await,
        "a close frame is not waited for endlessly"
    );
    drop(socket);
}

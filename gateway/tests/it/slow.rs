//! Slow consumers: what happens to a client that does not read, and that nobody
//! else notices.

use std::time::Duration;

use client::{Client, Frame, Options, Socket};
use gateway::config::OverflowPolicy;
use runtime::config::Timespan;
use serde_json::json;
use wire::{Command, Format, Request};

use crate::support::{SOON, TestGateway, namespace, publication, subscribing, token, with_token};

/// Bytes of one publication: far fewer of them fill the kernel's buffers.
const SIZE: usize = 60_000;

async fn gateway(policy: OverflowPolicy) -> TestGateway {
    TestGateway::start(|config| {
        config.client.queue_max_size = 512 * 1024;
        // The outbox's limit is what is tested, not the write's.
        config.websocket.write_timeout = Timespan::from_secs(60);
        namespace(config, "busy", |options| {
            options.allow_subscribe_for_client = true;
            options.overflow_policy = policy;
        });
    })
    .await
}

/// A client that is subscribed and then never reads, unless told to.
async fn sleeper(gateway: &TestGateway) -> Socket {
    let mut options = Options::new(Format::Json);
    options.deadline = Duration::from_secs(20);
    let socket = Socket::open(&gateway.url(), &options).await;
    let mut socket = socket.expect("the handshake succeeds");
    let token = token(&json!({ "sub": "sleeper" }));
    let commands = [
        Command {
            id: 1,
            request: Some(Request::Connect(with_token(&token))),
        },
        Command {
            id: 2,
            request: Some(Request::Subscribe(subscribing("busy:a"))),
        },
    ];
    socket.send_commands(&commands).await.expect("it is sent");
    testkit::eventually(SOON, async || gateway.gateway().holds().2 >= 1).await;
    socket
}

async fn publish(gateway: &TestGateway, n: u32) {
    let data = json!({ "n": n, "filling": "x".repeat(SIZE) });
    gateway
        .api_ok("publish", &json!({ "channel": "busy:a", "data": data }))
        .await;
}

/// Publishes, each of which the attentive client must get, until `enough`.
async fn publish_until(
    gateway: &TestGateway,
    attentive: &mut Client,
    mut enough: impl FnMut(u32) -> bool,
) -> u32 {
    for n in 0..2_000 {
        publish(gateway, n).await;
        let got = publication(attentive, "busy:a").await;
        let start = format!("{{\"filling\":\"{}\",\"n\":{n}}}", "x".repeat(SIZE));
        assert_eq!(got.data.len(), start.len());
        if enough(n) {
            return n + 1;
        }
    }
    panic!("2,000 publications were not enough");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_as_slow() {
    let gateway = gateway(OverflowPolicy::Disconnect).await;
    let mut slow = sleeper(&gateway).await;
    let mut attentive = gateway.user(Format::Protobuf, "attentive").await;
    attentive.subscribe("busy:a").await.expect("it may");
    publish_until(&gateway, &mut attentive, |_| {
        gateway.gateway().holds().2 == 1
    })
    .await;
    // It reads now: what the kernel has, then why it ends; not what waited.
    let closed = slow.closed().await.expect("it ends");
    assert_eq!((closed.code, &*closed.reason), (3008, "slow"));
    publish_until(&gateway, &mut attentive, |n| n == 3).await;
    gateway.end((slow, attentive)).await;
}

#[tokio::test]
async fn where_it_may_be_dropped_the_client_stays() {
    let gateway = gateway(OverflowPolicy::Drop).await;
    let mut slow = sleeper(&gateway).await;
    let mut attentive = gateway.user(Format::Json, "attentive").await;
    attentive.subscribe("busy:a").await.expect("it may");
    let dropped = async || {
        let metrics = gateway.http().get("/metrics").send().await.body;
        let line = metrics
            .lines()
            .find(|line| !line.starts_with('#') && line.contains("dropped"));
        let line = line.unwrap_or_else(|| panic!("a counter of what is dropped:\n{metrics}"));
        line.rsplit(' ')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .expect("a number")
    };
    let mut published = 0;
    while dropped().await == 0 {
        published += publish_until(&gateway, &mut attentive, |n| n == 19).await;
        assert!(published < 2_000);
    }
    // Awake again it gets what waited, and then what is new.
    let mut got = 0;
    publish(&gateway, 0).await;
    publication(&mut attentive, "busy:a").await;
    let last = loop {
        let frame = tokio::time::timeout(Duration::from_millis(500), slow.next_frame()).await;
        match frame {
            Ok(Ok(Frame::Text(text))) => got += text.len() / SIZE,
            Ok(other) => panic!("{other:?}"),
            // Nothing more waits.
            Err(_) => break got,
        }
    };
    assert!(
        last > 0 && last < published as usize,
        "{last} of {published}"
    );
    publish(&gateway, 7).await;
    let frame = slow.next_frame().await.expect("the new one");
    assert!(matches!(frame, Frame::Text(_)), "{frame:?}");
    gateway.end((slow, attentive)).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_closed() {
    let gateway = TestGateway::start(|config| {
        config.client.queue_max_size = 64 << 20;
        config.websocket.write_timeout = Timespan::from_millis(300);
        namespace(config, "busy", |options| {
            options.allow_subscribe_for_client = true;
        });
    })
    .await;
    let slow = sleeper(&gateway).await;
    let mut attentive = gateway.user(Format::Json, "attentive").await;
    attentive.subscribe("busy:a").await.expect("it may");
    publish_until(&gateway, &mut attentive, |n| {
        n == 199 || gateway.gateway().holds().2 == 1
    })
    .await;
    testkit::eventually(SOON, async || gateway.gateway().holds().2 == 1).await;
    gateway.end((slow, attentive)).await;
}

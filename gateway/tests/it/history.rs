//! `history`.

use serde_json::json;
use wire::{Format, HistoryRequest, Request, StreamPosition};

use crate::support::{FORMATS, TestGateway, closes, namespace, refused, with_history};

async fn gateway() -> TestGateway {
    let gateway = TestGateway::start(|config| {
        config.client.history_max_publication_limit = 5;
        namespace(config, "kept", |options| {
            with_history(options, 8);
            options.allow_history_for_client = true;
        });
        namespace(config, "members", |options| {
            with_history(options, 8);
            options.allow_subscribe_for_client = true;
            options.allow_history_for_subscriber = true;
        });
        namespace(config, "none", |options| {
            options.allow_history_for_client = true;
        });
    })
    .await;
    for n in 1..=10 {
        gateway
            .api_ok("publish", &json!({ "channel": "kept:a", "data": n }))
            .await;
    }
    gateway
}

fn asking(limit: i32, since: Option<u64>, reverse: bool) -> HistoryRequest {
    HistoryRequest {
        channel: "kept:a".to_owned(),
        limit,
        since: since.map(|offset| StreamPosition {
            offset,
            epoch: String::new(),
        }),
        reverse,
    }
}

#[tokio::test]
async fn history_is_read_in_parts_both_ways() {
    let gateway = gateway().await;
    for format in FORMATS {
        let client = gateway.user(format, "alice").await;
        let cases: [(HistoryRequest, &[u64]); 11] = [
            (asking(0, None, false), &[]),
            (asking(2, None, false), &[3, 4]),
            (asking(-1, None, false), &[3, 4, 5, 6, 7]),
            (asking(100, None, false), &[3, 4, 5, 6, 7]),
            (asking(3, Some(5), false), &[6, 7, 8]),
            (asking(3, Some(9), false), &[10]),
            (asking(3, Some(10), false), &[]),
            // What is lost is not an error here.
            (asking(3, Some(1), false), &[3, 4, 5]),
            (asking(2, None, true), &[10, 9]),
            (asking(2, Some(5), true), &[4, 3]),
            (asking(-1, Some(4), true), &[3]),
        ];
        for (request, expected) in cases {
            let result = client.history(request.clone()).await.expect("it may");
            let offsets: Vec<_> = result.publications.iter().map(|one| one.offset).collect();
            assert_eq!(offsets, expected, "{request:?}");
            assert_eq!(result.offset, 10);
            assert!(!result.epoch.is_empty());
        }
        let one = client
            .history(asking(1, Some(6), false))
            .await
            .expect("it may");
        assert_eq!(&*one.publications[0].data, b"7");
        drop(client);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn an_empty_history_is_written_out_in_json() {
    let gateway = gateway().await;
    let mut socket = gateway.json_user("alice").await;
    let reply = socket
        .ask(json!({ "history": { "channel": "kept:empty", "limit": 5 } }))
        .await;
    let epoch = &reply["history"]["epoch"];
    assert!(epoch.is_string());
    let expected = json!({ "publications": [], "epoch": epoch, "offset": 0 });
    assert_eq!(reply["history"], expected);
    gateway.end(socket).await;
}

#[tokio::test]
async fn who_may_not_read_and_what_cannot_be_read() {
    let gateway = gateway().await;
    let client = gateway.user(Format::Json, "alice").await;
    let of = |channel: &str| HistoryRequest {
        channel: channel.to_owned(),
        ..HistoryRequest::default()
    };
    assert_eq!(refused(client.history(of("unknown:a")).await), 102);
    assert_eq!(refused(client.history(of("none:a")).await), 108);
    assert_eq!(refused(client.history(of("members:a")).await), 103);
    client.subscribe("members:a").await.expect("it may");
    client
        .history(of("members:a"))
        .await
        .expect("it is a subscriber now");
    assert_eq!(refused(client.history(asking(3, Some(0), true)).await), 107);
    let mut other_epoch = asking(3, Some(5), false);
    other_epoch.since.as_mut().expect("it is there").epoch = "another".to_owned();
    assert_eq!(refused(client.history(other_epoch).await), 112);
    assert_eq!(closes(&client, Request::History(of(""))).await, 3501);
    gateway.end(client).await;
}

//! The server HTTP API.

use serde_json::{Value, json};
use wire::Format;

use crate::support::{API_KEY, TestGateway, namespace, publication, with_history};

async fn gateway() -> TestGateway {
    TestGateway::start(|config| {
        namespace(config, "open", |options| {
            options.presence = true;
            options.allow_subscribe_for_client = true;
        });
        namespace(config, "kept", |options| {
            with_history(options, 10);
            options.allow_subscribe_for_client = true;
        });
    })
    .await
}

#[tokio::test]
async fn a_key_is_needed_and_may_be_given_in_three_ways() {
    let gateway = gateway().await;
    let http = gateway.http();
    let body = json!({ "channel": "open:a", "data": 1 }).to_string();
    let publish = |path: &str| http.post(path).body(body.clone());
    let in_query = format!("/api/publish?api_key={}", API_KEY.replace(' ', "%20"));
    for (request, status) in [
        (publish("/api/publish"), 401),
        (publish("/api/publish").header("X-API-Key", "wrong"), 401),
        (publish("/api/publish").header("X-API-Key", API_KEY), 200),
        (
            publish("/api/publish").header("Authorization", &format!("apikey {API_KEY}")),
            200,
        ),
        (
            publish("/api/publish").header("Authorization", &format!("ApiKey {API_KEY}")),
            200,
        ),
        (
            publish("/api/publish").header("Authorization", &format!("Bearer {API_KEY}")),
            401,
        ),
        (
            // A wrong X-API-Key is not mended by Authorization.
            publish("/api/publish")
                .header("X-API-Key", "wrong")
                .header("Authorization", &format!("apikey {API_KEY}")),
            401,
        ),
        (publish(&in_query), 200),
        (publish("/api/publish?api_key=wrong"), 401),
        (publish("/api/nonsense"), 401),
    ] {
        let description = format!("{request:?}");
        assert_eq!(request.send().await.status, status, "{description}");
    }
    let get = http
        .get("/api/publish")
        .header("X-API-Key", API_KEY)
        .send()
        .await;
    assert_eq!(get.status, 405);
    gateway.end(()).await;
}

#[tokio::test]
async fn without_a_configured_key_nobody_may() {
    let gateway = TestGateway::start(|config| config.http_api.key = "".into()).await;
    let request = gateway.http().post("/api/info").header("X-API-Key", "");
    assert_eq!(request.send().await.status, 401);
    gateway.end(()).await;
    let gateway = TestGateway::start(|config| config.http_api.insecure = true).await;
    assert_eq!(gateway.http().post("/api/info").send().await.status, 200);
    gateway.end(()).await;
}

#[tokio::test]
async fn what_is_malformed_is_told_by_the_status() {
    let gateway = gateway().await;
    for (method, body) in [
        ("publish", "{"),
        ("publish", "nonsense"),
        ("publish", "[]"),
        ("publish", r#"{"channel":5,"data":1}"#),
        ("history", r#"{"channel":"kept:a","limit":"x"}"#),
        ("batch", r#"{"commands":5}"#),
    ] {
        let request = gateway.http().post(&format!("/api/{method}"));
        let response = request.header("X-API-Key", API_KEY).body(body).send().await;
        assert_eq!(response.status, 400, "{method} {body}: {}", response.body);
    }
    let unknown = gateway
        .http()
        .post("/api/nonsense")
        .header("X-API-Key", API_KEY);
    assert_eq!(unknown.send().await.status, 404);
    gateway.end(()).await;
}

#[tokio::test]
async fn errors_are_told_in_two_ways() {
    let gateway = gateway().await;
    for (method, params, code, status) in [
        (
            "publish",
            json!({ "channel": "unknown:a", "data": 1 }),
            102,
            404,
        ),
        ("publish", json!({ "data": 1 }), 107, 400),
        ("publish", json!({ "channel": "open:a" }), 107, 400),
        (
            "publish",
            json!({ "channel": "open:a", "b64data": "%" }),
            107,
            400,
        ),
        ("broadcast", json!({ "channels": [], "data": 1 }), 107, 400),
        ("history", json!({ "channel": "open:a" }), 108, 400),
        ("history", json!({ "channel": "unknown:a" }), 102, 404),
        (
            "history",
            json!({ "channel": "kept:a", "since": { "offset": 1, "epoch": "another" } }),
            112,
            416,
        ),
        (
            "history",
            json!({ "channel": "kept:a", "reverse": true, "since": { "offset": 0 } }),
            107,
            400,
        ),
        ("history_remove", json!({ "channel": "open:a" }), 108, 400),
        ("presence", json!({ "channel": "kept:a" }), 108, 400),
        (
            "presence_stats",
            json!({ "channel": "unknown:a" }),
            102,
            404,
        ),
        ("subscribe", json!({ "channel": "open:a" }), 107, 400),
        (
            "subscribe",
            json!({ "user": "a", "channel": "unknown:a" }),
            102,
            404,
        ),
        ("unsubscribe", json!({ "user": "a" }), 107, 400),
        ("disconnect", json!({}), 107, 400),
        (
            "disconnect",
            json!({ "user": "a", "disconnect": { "code": 1000 } }),
            107,
            400,
        ),
        ("refresh", json!({}), 107, 400),
        ("rpc", json!({ "method": "none:none" }), 104, 404),
    ] {
        assert_eq!(
            gateway.api_error(method, &params).await,
            code,
            "{method} {params}"
        );
        let request = gateway.http().post(&format!("/api/{method}"));
        let response = request
            .header("X-API-Key", API_KEY)
            .header("X-Centrifugo-Error-Mode", "transport")
            .body(params.to_string())
            .send()
            .await;
        assert_eq!(response.status, status, "{method} {params}");
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn publish_tells_the_position_where_there_is_one() {
    let gateway = gateway().await;
    let mut client = gateway.user(Format::Json, "alice").await;
    client.subscribe("kept:a").await.expect("it may");
    client.subscribe("open:a").await.expect("it may");
    let params = json!({ "channel": "kept:a", "data": { "a": 1 }, "tags": { "t": "1" } });
    let result = gateway.api_ok("publish", &params).await;
    assert_eq!(result["offset"], 1);
    assert!(result["epoch"].is_string());
    let one = publication(&mut client, "kept:a").await;
    assert_eq!((&*one.data, one.offset), (&br#"{"a":1}"#[..], 1));
    assert_eq!(one.tags["t"], "1");
    assert!(one.info.is_none(), "no client published it");

    let skip = json!({ "channel": "kept:a", "data": 2, "skip_history": true });
    gateway.api_ok("publish", &skip).await;
    assert_eq!(publication(&mut client, "kept:a").await.offset, 0);
    let history = gateway
        .api_ok("history", &json!({ "channel": "kept:a", "limit": -1 }))
        .await;
    assert_eq!(history["publications"].as_array().expect("a list").len(), 1);

    let plain = gateway
        .api_ok(
            "publish",
            &json!({ "channel": "open:a", "b64data": "eyJiIjoyfQ==" }),
        )
        .await;
    assert_eq!(plain, json!({}));
    assert_eq!(
        &*publication(&mut client, "open:a").await.data,
        br#"{"b":2}"#
    );
    gateway.end(client).await;
}

#[tokio::test]
async fn the_same_idempotency_key_publishes_once() {
    let gateway = gateway().await;
    let mut client = gateway.user(Format::Json, "alice").await;
    client.subscribe("kept:a").await.expect("it may");
    let publish =
        |n: u32, key: &str| json!({ "channel": "kept:a", "data": n, "idempotency_key": key });
    let first = gateway.api_ok("publish", &publish(1, "x")).await;
    let again = gateway.api_ok("publish", &publish(2, "x")).await;
    assert_eq!(first, again);
    gateway.api_ok("publish", &publish(3, "y")).await;
    assert_eq!(&*publication(&mut client, "kept:a").await.data, b"1");
    assert_eq!(&*publication(&mut client, "kept:a").await.data, b"3");
    // Another channel is another matter.
    let elsewhere = json!({ "channel": "kept:b", "data": 1, "idempotency_key": "x" });
    assert_eq!(gateway.api_ok("publish", &elsewhere).await["offset"], 1);
    gateway.end(client).await;
}

#[tokio::test]
async fn a_broadcast_answers_for_each_channel() {
    let gateway = gateway().await;
    let params = json!({ "channels": ["kept:a", "unknown:a", "open:a"], "data": 1 });
    let result = gateway.api_ok("broadcast", &params).await;
    let responses = result["responses"].as_array().expect("a list");
    assert_eq!(responses[0]["result"]["offset"], 1);
    assert_eq!(responses[1]["error"]["code"], 102);
    assert_eq!(responses[2], json!({ "result": {} }));
    gateway.end(()).await;
}

#[tokio::test]
async fn history_through_the_api() {
    let gateway = gateway().await;
    for n in 1..=5 {
        let params = json!({ "channel": "kept:a", "data": n, "tags": { "n": n.to_string() } });
        gateway.api_ok("publish", &params).await;
    }
    for (params, expected) in [
        (json!({}), vec![]),
        (json!({ "limit": -1 }), vec![1, 2, 3, 4, 5]),
        (json!({ "limit": 2 }), vec![1, 2]),
        (json!({ "limit": 2, "since": { "offset": 3 } }), vec![4, 5]),
        (json!({ "limit": 2, "reverse": true }), vec![5, 4]),
        (
            json!({ "limit": 2, "reverse": true, "since": { "offset": 3 } }),
            vec![2, 1],
        ),
    ] {
        let mut all = params.clone();
        all["channel"] = "kept:a".into();
        let result = gateway.api_ok("history", &all).await;
        let publications = result["publications"].as_array().expect("a list");
        let offsets: Vec<_> = publications
            .iter()
            .map(|one| one["offset"].as_i64().expect("an offset"))
            .collect();
        assert_eq!(offsets, expected, "{params}");
        assert_eq!(result["offset"], 5);
        if let Some(one) = publications.first() {
            assert_eq!(one["data"], one["offset"]);
            assert_eq!(one["tags"]["n"], one["offset"].to_string());
        }
    }
    gateway
        .api_ok("history_remove", &json!({ "channel": "kept:a" }))
        .await;
    let after = gateway
        .api_ok("history", &json!({ "channel": "kept:a", "limit": -1 }))
        .await;
    assert_eq!(after["publications"], json!([]));
    gateway.end(()).await;
}

#[tokio::test]
async fn presence_channels_and_info() {
    let gateway = gateway().await;
    let claims = json!({ "sub": "alice", "info": { "name": "Alice" } });
    let (alice, connected) = gateway.connected(Format::Json, &claims).await;
    alice.subscribe("open:a").await.expect("it may");
    let bob = gateway.user(Format::Json, "bob").await;
    bob.subscribe("open:a").await.expect("it may");
    bob.subscribe("kept:b").await.expect("it may");

    let presence = gateway
        .api_ok("presence", &json!({ "channel": "open:a" }))
        .await;
    let of_alice = &presence["presence"][&connected.client];
    assert_eq!(of_alice["user"], "alice");
    assert_eq!(of_alice["conn_info"], json!({ "name": "Alice" }));
    let stats = gateway
        .api_ok("presence_stats", &json!({ "channel": "open:a" }))
        .await;
    assert_eq!(stats, json!({ "num_clients": 2, "num_users": 2 }));

    let channels = gateway.api_ok("channels", &json!({})).await;
    let all = json!({ "open:a": { "num_clients": 2 }, "kept:b": { "num_clients": 1 } });
    assert_eq!(channels["channels"], all);
    let some = gateway
        .api_ok("channels", &json!({ "pattern": "open:*" }))
        .await;
    assert_eq!(some["channels"], json!({ "open:a": { "num_clients": 2 } }));

    let info = gateway.api_ok("info", &json!({})).await;
    let nodes = info["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), 1);
    let node = &nodes[0];
    assert_eq!(
        (&node["num_clients"], &node["num_users"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        (&node["num_subs"], &node["num_channels"]),
        (&json!(3), &json!(2))
    );
    gateway.end((alice, bob)).await;
}

#[tokio::test]
async fn a_batch_answers_in_order() {
    let gateway = gateway().await;
    for parallel in [false, true] {
        let channel = format!("kept:{parallel}");
        let commands = json!([
            { "publish": { "channel": channel, "data": 1 } },
            { "presence_stats": { "channel": "open:a" } },
            { "publish": { "channel": "unknown:a", "data": 1 } },
            { "nonsense": {} },
        ]);
        let params = json!({ "commands": commands, "parallel": parallel });
        let result = gateway.api_ok("batch", &params).await;
        let replies = result["replies"].as_array().expect("a list");
        assert_eq!(replies[0]["publish"]["offset"], 1);
        assert_eq!(replies[1]["presence_stats"]["num_clients"], 0);
        assert_eq!(replies[2]["error"]["code"], 102);
        assert_eq!(replies[3]["error"]["code"], 104);
        assert_eq!(replies.len(), 4);
    }
    gateway.end(()).await;
}

#[tokio::test]
async fn a_large_publication_is_fine_and_a_huge_one_refused() {
    let gateway = gateway().await;
    let large = json!({ "channel": "open:a", "data": "x".repeat(200_000) });
    gateway.api_ok("publish", &large).await;
    let huge: Value = json!({ "channel": "open:a", "data": "x".repeat(17 << 20) });
    let request = gateway
        .http()
        .post("/api/publish")
        .header("X-API-Key", API_KEY);
    assert_eq!(request.body(huge.to_string()).send().await.status, 413);
    gateway.end(()).await;
}

//! Every scenario, small, against a gateway that works.

use runtime::config::Timespan;

use crate::support::{TestGateway, assert_exact, count, measure};

const DIALECTS: [&str; 2] = ["centrifuge-json", "centrifuge-protobuf"];
const SHORT: &str = "--seconds 0.5 --warmup-seconds 0.1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_stay_and_answer_heartbeats() {
    let gateway = TestGateway::start(|config| {
        config.client.ping_interval = Timespan::from_millis(200);
        config.client.pong_timeout = Timespan::from_millis(150);
    })
    .await;
    for dialect in DIALECTS {
        let arguments = "--scenario idle --connections 100 --seconds 1 --leave-seconds 0.1";
        let outcome = gateway.run(dialect, arguments).await;
        // A connection that did not answer would have been closed, which fails the run.
        assert!(measure(&outcome, "pings_per_connection") > 1.0);
        assert!(measure(&outcome, "cpu_us_per_connect") > 0.0);
        assert!(measure(&outcome, "cpu_us_per_connection_second") > 0.0);
        assert!(measure(&outcome, "rss_start_kb") > 0.0);
        assert!(measure(&outcome, "rss_after_start_ratio") > 0.0);
        assert_eq!(outcome["parameters"]["connections"], 100);
        assert!(outcome["latency_ms"]["p99"].is_number(), "{outcome}");
    }
    gateway.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_is_exact_at_every_pace() {
    let gateway = TestGateway::start(|_| {}).await;
    for dialect in DIALECTS {
        for pace in ["--one-at-a-time", "--rate 100", "--max --window 16"] {
            let arguments = format!("--scenario fanout --connections 100 {SHORT} {pace}");
            let outcome = gateway.run(dialect, &arguments).await;
            assert_exact(&outcome, 100);
            assert!(measure(&outcome, "cpu_us_per_delivery") > 0.0);
            assert!(measure(&outcome, "deliveries_per_second") > 0.0);
            assert!(outcome["latency_ms"]["p50"].is_number(), "{outcome}");
        }
    }
    gateway.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_publishers_of_one_channel_are_counted_apart() {
    let gateway = TestGateway::start(|_| {}).await;
    let arguments = format!("--scenario fanout --connections 20 --publishers 3 --max {SHORT}");
    let outcome = gateway.run("centrifuge-json", &arguments).await;
    assert_exact(&outcome, 20);
    gateway.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_exact() {
    let gateway = TestGateway::start(|_| {}).await;
    for pace in ["--rate 500", "--max", "--max --batch 7 --publishers 3"] {
        let arguments = format!("--scenario rooms --connections 100 {SHORT} {pace}");
        let outcome = gateway.run("centrifuge-json", &arguments).await;
        assert_exact(&outcome, 10);
    }
    let arguments = format!("--scenario redis --channels 50 --publishers 5 --rate 500 {SHORT}");
    let outcome = gateway.run("centrifuge-protobuf", &arguments).await;
    assert_exact(&outcome, 1);
    assert!(measure(&outcome, "cpu_us_per_publication") > 0.0);
    gateway.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_several_nodes_stay_apart() {
    let gateway = TestGateway::start(|_| {}).await;
    let other = TestGateway::start(|_| {}).await;
    let arguments = format!(
        "--scenario rooms --connections 60 --rate 200 {SHORT} --url {}",
        other.url()
    );
    let outcome = gateway.run("centrifuge-json", &arguments).await;
    assert_exact(&outcome, 10);
    assert_eq!(outcome["parameters"]["publishers"], 2, "{outcome}");
    gateway.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_brings_everybody_back_with_what_they_missed() {
    let gateway = TestGateway::start(|_| {}).await;
    let plain = "--scenario storm --connections 100 --leave finish";
    let outcome = gateway.run("centrifuge-json", plain).await;
    assert!(measure(&outcome, "seconds") > 0.0);
    assert!(measure(&outcome, "connect_ms_p99") > 0.0);
    for dialect in DIALECTS {
        let arguments = "--scenario storm --connections 100 --recover 7 --channel hist:{}";
        let outcome = gateway.run(dialect, arguments).await;
        assert_exact(&outcome, 10);
        assert_eq!(count(&outcome, "received"), 700);
    }
    gateway.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered() {
    let gateway = TestGateway::start(|_| {}).await;
    for dialect in DIALECTS {
        for pace in ["", "--rate 200"] {
            let arguments = format!("--scenario rpc --connections 10 {SHORT} {pace}");
            let outcome = gateway.run(dialect, &arguments).await;
            assert_exact(&outcome, 1);
            assert!(measure(&outcome, "calls_per_second") > 0.0);
        }
    }
    gateway.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_changes_nothing() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let gateway = TestGateway::start(|config| {
        let internal = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let internal = internal.local_addr().expect("an address").port();
        config.http_server.internal_port = internal;
        config.http_server.tls.enabled = true;
        config.http_server.tls.cert_pem = made.cert.pem();
        config.http_server.tls.key_pem = made.signing_key.serialize_pem().as_str().into();
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).expect("it is written");
    for pace in ["--rate 100", "--max"] {
        let arguments = format!("--scenario fanout --connections 50 {SHORT} {pace}");
        let file = file.to_str().expect("a path in UTF-8");
        let outcome = gateway.run_secure(file, &arguments).await;
        assert_exact(&outcome, 50);
    }
    gateway.end().await;
}

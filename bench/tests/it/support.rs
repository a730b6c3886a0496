//! A gateway for one test, and runs of the binary.

use std::net::SocketAddr;
use std::process::Output;

use gateway::config::{ChannelOptions, Config, NamespaceConfig};
use gateway::{Gateway, Surroundings};
use runtime::config::Timespan;
use serde_json::Value;
use tokio::process::Command;

/// The key of tokens.
const SECRET: &str = "a secret of the tests";

/// A gateway in this process, at a free port.
pub(crate) struct TestGateway(Gateway);

impl TestGateway {
    /// With a namespace `bench` for everybody with a token, and `hist` that keeps history.
    pub(crate) async fn start(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.http_server.address = "127.0.0.1".to_owned();
        config.http_server.port = 0;
        config.client.token.hmac_secret_key = SECRET.into();
        config.rpc.ping.enabled = true;
        let open = ChannelOptions {
            allow_subscribe_for_client: true,
            allow_publish_for_client: true,
            ..ChannelOptions::default()
        };
        let history = ChannelOptions {
            history_size: 100,
            history_ttl: Timespan::from_secs(300),
            force_positioning: true,
            force_recovery: true,
            ..open.clone()
        };
        for (name, options) in [("bench", open), ("hist", history)] {
            let name = name.to_owned();
            config
                .channel
                .namespaces
                .push(NamespaceConfig { name, options });
        }
        configure(&mut config);
        let problems = config.validate();
        assert!(problems.is_empty(), "{problems:?}");
        let gateway = Gateway::start(config, Surroundings::default()).await;
        Self(gateway.expect("the gateway starts"))
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.0.address())
    }

    /// Runs a scenario against it, in a process of its own, and returns the outcome.
    pub(crate) async fn run(&self, dialect: &str, arguments: &str) -> Value {
        self.run_at(&self.url(), dialect, arguments).await
    }

    /// Runs a scenario over TLS, trusting a file of certificates.
    pub(crate) async fn run_secure(&self, ca_file: &str, arguments: &str) -> Value {
        let port = self.0.address().port();
        let url = format!("wss://localhost:{port}/connection/websocket");
        let arguments = format!("{arguments} --ca-file {ca_file}");
        self.run_at(&url, "centrifuge-json", &arguments).await
    }

    async fn run_at(&self, url: &str, dialect: &str, arguments: &str) -> Value {
        let pid = std::process::id().to_string();
        let mut command = bench(arguments);
        command.args(["--dialect", dialect, "--url", url, "--pid", &pid]);
        command.args(["--token-secret", SECRET]);
        outcome(&command.output().await.expect("it runs"))
    }

    /// Ends it.
    pub(crate) async fn end(self) {
        assert!(self.0.drain().await, "everything ends in time");
    }
}

/// A run against a server that speaks the protocol of Centrifuge.
pub(crate) async fn run_centrifuge(address: SocketAddr, arguments: &str) -> Output {
    let mut command = bench(arguments);
    command.args(["--dialect", "centrifuge-json", "--url"]);
    command.arg(format!("ws://{address}/connection/websocket"));
    command.args(["--token-secret", SECRET]);
    command.output().await.expect("it runs")
}

/// A run against a server that speaks the plain dialect.
pub(crate) async fn run_plain(address: SocketAddr, arguments: &str) -> Output {
    let mut command = bench(arguments);
    command.args(["--dialect", "ws", "--url", &format!("ws://{address}/")]);
    command.output().await.expect("it runs")
}

fn bench(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare-bench"));
    command.arg("run").args(arguments.split_whitespace());
    command.kill_on_drop(true);
    command
}

/// What a run that succeeded printed.
#[track_caller]
pub(crate) fn outcome(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

/// A figure of an outcome.
#[track_caller]
pub(crate) fn measure(outcome: &Value, name: &str) -> f64 {
    let figure = outcome["measures"][name].as_f64();
    figure.unwrap_or_else(|| panic!("{name} in {outcome}"))
}

/// A count of an outcome.
#[track_caller]
pub(crate) fn count(outcome: &Value, name: &str) -> u64 {
    let count = outcome["counts"][name].as_u64();
    count.unwrap_or_else(|| panic!("{name} in {outcome}"))
}

/// Everything that was sent came to each of so many listeners, once and in order.
#[track_caller]
pub(crate) fn assert_exact(outcome: &Value, listeners: u64) {
    assert!(count(outcome, "sent") > 0, "{outcome}");
    let expected = count(outcome, "sent") * listeners;
    assert_eq!(count(outcome, "expected"), expected, "{outcome}");
    assert_eq!(count(outcome, "received"), expected, "{outcome}");
    for fault in ["lost", "doubled", "reordered", "damaged", "strayed"] {
        assert_eq!(count(outcome, fault), 0, "{fault} in {outcome}");
    }
}

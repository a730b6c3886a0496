use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    client: Client,
    channel: Channels,
    log: Log,
    database_url: SecretUrl,
    labels: BTreeMap<String, String>,
    cert: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Client {
    #[serde(with = "duration")]
    ping_interval: Duration,
    insecure: bool,
    channel_limit: u32,
    allowed_origins: Vec<String>,
    token: Token,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            insecure: false,
            channel_limit: 128,
            allowed_origins: Vec::new(),
            token: Token::default(),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Token {
    hmac_secret_key: Secret,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Channels {
    without_namespace: Options,
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Namespace {
    name: String,
    #[serde(flatten)]
    options: Options,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Options {
    history_size: u32,
    #[serde(with = "duration")]
    history_ttl: Duration,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Log {
    level: String,
}

impl Schema for Config {
    const UNSUPPORTED: &'static [&'static str] = &["sse", "channel.namespaces[].delta_publish"];

    fn sample() -> Self {
        Self {
            channel: Channels {
                namespaces: vec![Namespace {
                    name: "name".to_owned(),
                    options: Options::default(),
                }],
                ..Channels::default()
            },
            labels: BTreeMap::from([("*".to_owned(), String::new())]),
            cert: Some(String::new()),
            ..Self::default()
        }
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (i, namespace) in self.channel.namespaces.iter().enumerate() {
            if (namespace.options.history_size == 0) != namespace.options.history_ttl.is_zero() {
                problems.push(Problem::new(
                    format!("channel.namespaces[{i}].history_size"),
                    "set history_size and history_ttl together",
                ));
            }
        }
        problems
    }
}

struct Loader {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Loader {
    fn file(extension: &str, text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("config.{extension}"));
        std::fs::write(&path, text).unwrap();
        let sources = Sources {
            file: Some(path),
            ..Sources::default()
        };
        Self { dir, sources }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources
            .overrides
            .push((key.to_owned(), value.to_owned()));
        self
    }

    fn load(self) -> Config {
        let config = load(self.sources).unwrap();
        drop(self.dir);
        config
    }

    fn problems(self) -> Vec<String> {
        let error = load::<Config>(self.sources).unwrap_err();
        error.problems.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn the_three_formats_say_the_same() {
    let toml = r#"
        [client]
        ping_interval = "1m30s"
        allowed_origins = ["https://a.example"]
        [[channel.namespaces]]
        name = "room"
        history_size = 10
        history_ttl = "24h"
    "#;
    let yaml = r#"
client:
  ping_interval: 1m30s
  allowed_origins: ["https://a.example"]
  insecure:
channel:
  namespaces:
    - name: room
      history_size: 10
      history_ttl: 24h
"#;
    let json = r#"{
        "client": {"ping_interval": "1m30s", "allowed_origins": ["https://a.example"]},
        "channel": {"namespaces": [{"name": "room", "history_size": 10, "history_ttl": "24h"}]}
    }"#;
    for (extension, text) in [("toml", toml), ("yaml", yaml), ("json", json)] {
        let config = Loader::file(extension, text).load();
        assert_eq!(config.client.ping_interval, Duration::from_secs(90));
        assert_eq!(config.client.allowed_origins, ["https://a.example"]);
        assert_eq!(config.client.channel_limit, 128, "the default stays");
        assert_eq!(config.channel.namespaces[0].options.history_size, 10);
    }
}

#[test]
fn flags_stand_above_the_environment_and_that_above_the_file() {
    let config = Loader::file(
        "toml",
        "[client]\nchannel_limit = 1\nping_interval = '1s'\ninsecure = false",
    )
    .env("FANFARE_CLIENT_CHANNEL_LIMIT", "2")
    .env("FANFARE_CLIENT_PING_INTERVAL", "2s")
    .env("FANFARE_CLIENT_INSECURE", "true")
    .env("FANFARE_CLIENT_TOKEN_HMAC_SECRET_KEY", "12345")
    .env(
        "FANFARE_CLIENT_ALLOWED_ORIGINS",
        "https://a.example, https://b.example",
    )
    .env(
        "FANFARE_CHANNEL_NAMESPACES",
        r#"[{"name":"room","history_size":3,"history_ttl":"1m"}]"#,
    )
    .env("FANFARE_CERT", "pem")
    .env("PATH", "/bin")
    .flag("client.ping_interval", "3s")
    .flag("labels.zone", "b")
    .load();
    assert_eq!(config.client.channel_limit, 2);
    assert_eq!(config.client.ping_interval, Duration::from_secs(3));
    assert!(config.client.insecure);
    assert_eq!(config.client.token.hmac_secret_key.expose(), "12345");
    assert_eq!(config.client.allowed_origins.len(), 2);
    assert_eq!(config.channel.namespaces[0].name, "room");
    assert_eq!(config.cert.as_deref(), Some("pem"));
    assert_eq!(config.labels["zone"], "b");
}

#[test]
fn everything_stands_above_a_binarys_own_defaults() {
    let mut loader = Loader::file("toml", "[client]\nchannel_limit = 1");
    loader.sources.base = vec![
        ("client.channel_limit".to_owned(), "5".to_owned()),
        ("client.insecure".to_owned(), "true".to_owned()),
    ];
    let config = loader.load();
    assert_eq!(config.client.channel_limit, 1);
    assert!(config.client.insecure);
}

#[test]
fn an_unknown_key_is_named_with_its_path_and_the_nearest_known_one() {
    let problems = Loader::file(
        "toml",
        r#"
        token_hmac_secret_key = "x"
        allowed_origins = []
        [client]
        ping_intervall = "1s"
        [[channel.namespaces]]
        name = "room"
        [[channel.namespaces]]
        name = "inbox"
        histroy_size = 10
        "#,
    )
    .problems();
    assert_eq!(
        problems,
        [
            "allowed_origins: unknown key; the nearest known key is client.allowed_origins",
            "channel.namespaces[1].histroy_size: unknown key; the nearest known key is \
             channel.namespaces[1].history_size",
            "client.ping_intervall: unknown key; the nearest known key is client.ping_interval",
            "token_hmac_secret_key: unknown key; the nearest known key is \
             client.token.hmac_secret_key",
        ]
    );
}

#[test]
fn what_is_not_supported_yet_is_accepted_only_while_it_is_off() {
    let file = |on: bool| {
        let text = format!(
            "[sse]\nenabled = {on}\nsize = 3\n[[channel.namespaces]]\nname = 'a'\ndelta_publish = {on}"
        );
        Loader::file("toml", &text)
    };
    file(false).load();
    assert_eq!(
        file(true).problems(),
        [
            "channel.namespaces[0].delta_publish: not supported yet",
            "sse: not supported yet"
        ]
    );
}

#[test]
fn all_wrong_values_are_reported_at_once_with_their_paths() {
    let problems = Loader::file(
        "toml",
        r#"
        [client]
        ping_interval = 25000000000
        channel_limit = -1
        insecure = "maybe"
        [[channel.namespaces]]
        history_size = 1
        [[channel.namespaces]]
        name = "inbox"
        history_ttl = "5 parsecs"
        "#,
    )
    .env("FANFARE_CLIENT_CHANEL_LIMIT", "1")
    .env("FANFARE_CHANNEL_NAMESPACES_0_NAME", "x")
    .flag("log.levle", "info")
    .problems();
    let keys: Vec<&str> = problems
        .iter()
        .map(|p| p.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "FANFARE_CLIENT_CHANEL_LIMIT",
            "FANFARE_CHANNEL_NAMESPACES_0_NAME",
            "log.levle",
            "channel.namespaces[0]",
            "channel.namespaces[1].history_ttl",
            "client.channel_limit",
            "client.insecure",
            "client.ping_interval",
        ],
        "{problems:#?}"
    );
    assert!(
        problems[0].contains("FANFARE_CLIENT_CHANNEL_LIMIT"),
        "{}",
        problems[0]
    );
    assert!(problems[2].contains("log.level"), "{}", problems[2]);
    assert!(
        problems[3].contains("missing field `name`"),
        "{}",
        problems[3]
    );
    assert!(problems[4].contains("such as \"25s\""), "{}", problems[4]);
    assert!(problems[7].contains("such as \"25s\""), "{}", problems[7]);
}

#[test]
fn rules_are_checked_when_every_value_fits() {
    let problems = Loader::file(
        "toml",
        "[[channel.namespaces]]\nname = 'room'\nhistory_size = 1",
    )
    .problems();
    assert_eq!(
        problems,
        ["channel.namespaces[0].history_size: set history_size and history_ttl together"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_not_a_panic() {
    let missing = Sources {
        file: Some("/nowhere/at/all.toml".into()),
        ..Sources::default()
    };
    let error = load::<Config>(missing).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.toml"), "{error}");
    for (extension, text) in [
        ("toml", "client = ["),
        ("json", "{"),
        ("yaml", "- a\n- b"),
        ("ini", ""),
    ] {
        assert_eq!(
            Loader::file(extension, text).problems().len(),
            1,
            "{extension}"
        );
    }
    Loader::file("yaml", "").load();
}

#[test]
fn what_kubernetes_sets_for_a_service_named_fanfare_is_no_mistake() {
    Loader::file("toml", "")
        .env("FANFARE_SERVICE_HOST", "10.0.0.1")
        .env("FANFARE_GATEWAY_SERVICE_PORT_HTTP", "8000")
        .env("FANFARE_PORT", "tcp://10.0.0.1:8000")
        .env("FANFARE_GATEWAY_PORT_8000_TCP_ADDR", "10.0.0.1")
        .env("FANFARE_CONFIG", "fanfare.toml")
        .load();
}

#[test]
fn the_printed_configuration_is_whole_and_masked() {
    let config = Loader::file("toml", "database_url = 'postgres://app:pw@db/chat'")
        .env("FANFARE_CLIENT_TOKEN_HMAC_SECRET_KEY", "hunter2")
        .load();
    let text = print_effective(&config);
    assert!(text.contains("ping_interval = \"25s\""), "{text}");
    assert!(text.contains("postgres://app:***@db/chat"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn every_key_is_listed_with_its_default() {
    let keys = keys::<Config>();
    let find = |name: &str| &keys.iter().find(|(key, _)| key == name).unwrap().1;
    assert_eq!(find("client.channel_limit"), 128);
    assert_eq!(find("client.ping_interval"), "25s");
    assert_eq!(find("channel.namespaces[].history_size"), 0);
    assert_eq!(find("cert"), &Value::Null);
    find("labels");
}

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use runtime::config::Sources;

use super::*;

fn load(toml: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    runtime::config::load(Sources {
        file: Some(file),
        ..Sources::default()
    })
    .map_err(|error| error.problems.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refused(toml: &str, expected: &[&str]) {
    let problems = load(toml).map(|_| ()).unwrap_err();
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(
            problem.contains(expected),
            "{problem:?} does not say {expected:?}"
        );
    }
}

#[test]
fn the_defaults_are_centrifugos_and_hold() {
    let config = load("").unwrap();
    assert_eq!(config.http_server.port, 8000);
    assert_eq!(config.client.ping_interval.get(), Duration::from_secs(25));
    assert_eq!(config.client.pong_timeout.get(), Duration::from_secs(8));
    assert_eq!(config.client.channel_limit, 128);
    assert_eq!(config.client.queue_max_size, 1_048_576);
    assert_eq!(
        config.channel.history_meta_ttl.get(),
        Duration::from_secs(30 * 24 * 3600)
    );
    assert_eq!(config.websocket.message_size_limit, 65_536);
    assert_eq!(config.shutdown.timeout.get(), Duration::from_secs(30));
    assert!(!config.node_name().is_empty());
}

#[test]
fn a_centrifugo_configuration_is_understood() {
    let config = load(
        r#"
        [http_api]
        key = "api-key"
        [client]
        allowed_origins = ["https://example.com"]
        [client.token]
        hmac_secret_key = "secret"
        [client.subscribe_to_user_personal_channel]
        enabled = true
        personal_channel_namespace = "personal"
        [channel.without_namespace]
        allow_subscribe_for_client = true
        force_recovery_mode = ""
        publication_data_format = "json_object"
        subscription_type = "stream"
        [[channel.namespaces]]
        name = "personal"
        history_size = 10
        history_ttl = "300s"
        force_recovery = true
        force_recovery_mode = "cache"
        allow_tags_filter = true
        allowed_delta_types = ["fossil"]
        [engine]
        type = "redis"
        [engine.redis]
        address = "redis://127.0.0.1:6379"
        [sse]
        enabled = false
        [prometheus]
        enabled = true
        "#,
    )
    .unwrap();
    let namespace = &config.channel.namespaces[0].options;
    assert_eq!(namespace.force_recovery_mode, RecoveryMode::Cache);
    assert_eq!(namespace.history_ttl.get(), Duration::from_secs(300));
    let format = config.channel.without_namespace.publication_data_format;
    assert_eq!(format, PublicationDataFormat::JsonObject);
    assert_eq!(config.engine.kind, EngineType::Redis);
    assert_eq!(config.client.token.verifier().hmac_secret_key, "secret");
}

#[test]
fn what_has_no_feature_yet_is_refused_by_name() {
    refused(
        r#"
        [client.proxy.connect]
        enabled = true
        [[channel.namespaces]]
        name = "dash"
        keep_latest_publication = true
        subscribe_proxy_name = "app"
        [channel.without_namespace]
        auto_cache_recover = true
        "#,
        &[
            "channel.namespaces[0].keep_latest_publication: not supported yet",
            "channel.namespaces[0].subscribe_proxy_name: not supported yet",
            "channel.without_namespace.auto_cache_recover: not supported yet",
            "client.proxy: not supported yet",
        ],
    );
    refused(
        "[channel.without_namespace]\nsubscription_type = 'map'",
        &["channel.without_namespace.subscription_type: only \"stream\""],
    );
}

#[test]
fn a_misspelt_option_of_a_namespace_is_named() {
    refused(
        "[[channel.namespaces]]\nname = 'ok'\n[[channel.namespaces]]\nname = 'no'\nhistroy_size = 1",
        &[
            "channel.namespaces[1].histroy_size: unknown key; the nearest known key is \
           channel.namespaces[1].history_size",
        ],
    );
}

#[test]
fn rules_between_values_are_reported_together() {
    refused(
        r#"
        [http_server]
        address = "nowhere"
        [client]
        ping_interval = "5s"
        pong_timeout = "5s"
        recovery_max_publication_limit = 0
        [client.token]
        audience_regex = "("
        [client.subscribe_to_user_personal_channel]
        enabled = true
        personal_channel_namespace = "nobody"
        [[channel.namespaces]]
        name = "a"
        [[channel.namespaces]]
        name = "room"
        history_size = 10
        force_recovery = true
        service = "chat"
        [[channel.namespaces]]
        name = "room"
        history_size = 1
        history_ttl = "2h"
        history_meta_ttl = "1h"
        channel_regex = "["
        [[services]]
        name = "orders"
        address = "orders:9000"
        [development]
        enabled = true
        "#,
        &[
            "http_server.address",
            "client.pong_timeout",
            "client.recovery_max_publication_limit",
            "client.token.audience_regex",
            "personal_channel_namespace: there is no namespace \"nobody\"",
            "channel.namespaces[0].name",
            "channel.namespaces[1].history_ttl: history_size and history_ttl",
            "channel.namespaces[1].force_recovery: needs history_size",
            "channel.namespaces[1].service: there is no service \"chat\"",
            "channel.namespaces[2].name: \"room\" is there twice",
            "channel.namespaces[2].history_meta_ttl: must be at least",
            "channel.namespaces[2].channel_regex: invalid regular expression",
            "services[0].address",
            "services[0].grpc_service",
            "development.enabled: needs client.token.hmac_secret_key",
        ],
    );
}

#[test]
fn certificates_are_text_base64_or_files() {
    use base64::Engine as _;
    let dir = tempfile::tempdir().unwrap();
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let file = dir.path().join("cert.pem");
    std::fs::write(&file, pem).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(pem);
    for text in [pem, &base64, file.to_str().unwrap()] {
        let tls = TlsConfig {
            cert_pem: text.to_owned(),
            ..TlsConfig::default()
        };
        assert_eq!(tls.certificate().unwrap(), pem.as_bytes());
    }
    let tls = TlsConfig {
        cert_pem_file: file.clone(),
        ..TlsConfig::default()
    };
    assert_eq!(tls.certificate().unwrap(), pem.as_bytes());
    assert_eq!(tls.files().collect::<Vec<_>>(), [file]);
    assert!(tls.key().is_err());
    assert!(tls.client_ca().unwrap().is_none());
}

#[test]
fn listeners_are_split_only_when_they_differ() {
    let mut server = HttpServerConfig {
        address: "127.0.0.1".to_owned(),
        ..Default::default()
    };
    assert_eq!(server.internal(), Ok(None));
    server.internal_port = 8000;
    assert_eq!(server.internal(), Ok(None));
    server.internal_port = 9000;
    assert_eq!(
        server.internal(),
        Ok(Some("127.0.0.1:9000".parse().unwrap()))
    );
    server.internal_address = "::1".to_owned();
    assert_eq!(server.internal(), Ok(Some("[::1]:9000".parse().unwrap())));
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text
        .split("<!-- gateway keys -->")
        .nth(1)
        .expect("the section is marked");
    let documented: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let options = "channel.namespaces[].";
    let known: BTreeSet<String> = runtime::config::keys::<Config>()
        .into_iter()
        .map(|(key, _)| key)
        // The same options, documented once.
        .filter(|key| !key.starts_with("channel.without_namespace."))
        .filter(|key| !key.starts_with("client.subscription_token.") || key.ends_with("enabled"))
        .map(|key| key.replace(options, "…"))
        .collect();
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing: {missing:#?}\nstale: {stale:#?}"
    );
}

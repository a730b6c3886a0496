use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

fn fanfare(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("FANFARE_CONFIG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn token_makes_a_token_that_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let key = ["--set", "client.token.hmac_secret_key=secret"];
    let mut arguments = vec!["token", "--user", "alice", "--info", r#"{"name":"Alice"}"#];
    arguments.extend(key);
    let output = fanfare(folder.path(), &arguments);
    assert!(output.status.success(), "{output:?}");
    let config = auth::TokenConfig {
        hmac_secret_key: "secret".to_owned(),
        ..auth::TokenConfig::default()
    };
    let verifier = auth::TokenVerifier::new(config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let token = stdout(&output);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let claims = runtime
        .block_on(verifier.verify_connection(token.trim(), now))
        .unwrap();
    assert_eq!(claims.user, "alice");

    arguments[4] = "{";
    let output = fanfare(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn check_config_prints_everything_but_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("f.toml"),
        "[client.token]\nhmac_secret_key = 'hunter2'\n[notify.database]\n\
         url = 'postgres://n:hunter3@db/notify'",
    )
    .unwrap();
    let output = fanfare(folder.path(), &["check-config", "--config", "f.toml"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("ping_interval = \"25s\""), "{text}");
    assert!(text.contains("name = \"inbox\""), "{text}");
    assert!(text.contains("postgres://n:***@db/notify"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn a_bad_configuration_ends_with_64_and_names_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[client]\nping_intervall = '1s'\nchannel_limit = 'many'\n[notify]\nretention = 5";
    std::fs::write(folder.path().join("f.toml"), text).unwrap();
    let output = fanfare(folder.path(), &["--config", "f.toml"]);
    assert_eq!(output.status.code(), Some(64));
    let error = String::from_utf8(output.stderr).unwrap();
    for key in [
        "client.ping_interval",
        "client.channel_limit",
        "notify.retention",
    ] {
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn doctor_looks_and_says_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["doctor", "--set", "http_server.port=0"];
    let output = fanfare(folder.path(), &arguments);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("open files") && text.contains("notify.database"),
        "{text}"
    );
    assert!(!folder.path().join("data").exists(), "it only looks");

    let redis = [
        "--set",
        "engine.type=redis",
        "--set",
        "engine.redis.address=127.0.0.1:1",
    ];
    let output = fanfare(folder.path(), &[&arguments[..], &redis].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}

#[test]
fn version_and_healthcheck_need_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = fanfare(folder.path(), &["version", "--config", "missing.toml"]);
    assert!(stdout(&output).starts_with("fanfare "), "{output:?}");
    let output = fanfare(
        folder.path(),
        &["healthcheck", "http://127.0.0.1:1/health/ready"],
    );
    assert_eq!(output.status.code(), Some(1));
}

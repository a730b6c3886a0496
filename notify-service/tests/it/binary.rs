//! The binary's face to operators.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notify-service"));
    command.args(arguments).env_clear().output().unwrap()
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notify.toml");
    std::fs::write(&file, "[grpc]\nadress = \"127.0.0.1:1\"\n").unwrap();
    let output = run(&["check-config", "--config", file.to_str().unwrap()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(
        error.contains("grpc.adress") && error.contains("grpc.address"),
        "{error}"
    );
}

#[test]
fn check_config_shows_everything_but_secrets() {
    let url = "database.url=postgres://app:hunter2@db/notify";
    let output = run(&[
        "check-config",
        "--set",
        url,
        "--set",
        "grpc.shared_key=hunter3",
    ]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("postgres://app:***@db/notify"), "{text}");
    assert!(text.contains("retention"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn migrate_makes_the_tables_and_may_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/notify.db");
    let url = format!("database.url=sqlite://{}", file.display());
    for _ in 0..2 {
        let output = run(&["migrate", "--set", &url]);
        assert!(output.status.success(), "{output:?}");
    }
    assert!(file.exists());
}

#[test]
fn a_bad_address_of_the_database_ends_with_64() {
    let output = run(&["migrate", "--set", "database.url=mysql://db/notify"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("database.url"), "{error}");
}

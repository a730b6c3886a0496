//! The ladder at its smallest: that it measures, judges, reports, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::eventually;

const BENCH: &str = env!("CARGO_BIN_EXE_fanfare-bench");

/// One round at the smallest scale: unless said otherwise, that is the default.
fn ladder(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BENCH);
    command
        .args(["ladder", "--scale", "tiny", "--out"])
        .arg(out)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn results(out: &Path, output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = fs::read_to_string(out.join("results.json")).expect("results are written");
    serde_json::from_str(&text).expect("they are JSON")
}

/// The gateway is another package's binary: `cargo test` alone does not build it.
fn assert_gateway_is_built() {
    let path = Path::new(BENCH).with_file_name("gateway");
    assert!(
        path.is_file(),
        "{} is not there. Build it: cargo build -p gateway",
        path.display()
    );
}

#[test]
fn ours_and_the_floor_are_measured_judged_and_reported() {
    assert_gateway_is_built();
    let out = tempfile::tempdir().expect("a folder");
    let document = out.path().join("performance.md");
    let markers = "<!-- ladder: begin -->\nold\n<!-- ladder: end -->";
    fs::write(&document, format!("by hand\n{markers}\nby hand too\n")).expect("it is written");
    let only = "idle,fanout-1000-one,fanout-1000-rate,rooms-max,storm,storm-recovery";
    let output = ladder(
        out.path(),
        &["--servers", "fanfare,floor", "--only", only, "--document"],
    )
    .arg(&document)
    .output()
    .expect("it runs");
    let results = results(out.path(), &output);

    let trials = results["trials"].as_array().expect("there are trials");
    assert_eq!(
        trials.len(),
        18,
        "two servers in six experiments, three of which have two turns"
    );
    for trial in trials {
        let outcome = &trial["outcome"];
        assert!(outcome.is_object(), "{trial}");
        for fault in ["lost", "doubled", "reordered"] {
            let count = outcome["counts"][fault].as_u64().unwrap_or(0);
            assert_eq!(count, 0, "{fault}: {trial}");
        }
    }
    let table = String::from_utf8_lossy(&output.stdout);
    let is_judged = |line: &&str| line.contains("| yes") || line.contains("| NO");
    assert!(table.lines().filter(is_judged).count() >= 8, "{table}");

    let page = fs::read_to_string(out.path().join("report.html")).expect("there is a page");
    assert!(
        page.matches("<svg").count() >= 8 && !page.contains("Not measured."),
        "{page}"
    );
    let document = fs::read_to_string(&document).expect("it is still there");
    assert!(document.starts_with("by hand\n") && document.ends_with("by hand too\n"));
    assert!(
        !document.contains("old") && document.contains("### Targets"),
        "{document}"
    );
}

#[test]
fn a_peer_that_is_not_here_is_left_out_and_named() {
    let out = tempfile::tempdir().expect("a folder");
    let nothing = tempfile::tempdir().expect("a folder");
    let only = ["--servers", "floor,centrifuge-go", "--only", "rooms-max"];
    let output = ladder(out.path(), &only)
        .env("BENCH_PEERS", nothing.path())
        .output()
        .expect("it runs");
    let results = results(out.path(), &output);
    let trials = results["trials"].as_array().expect("there are trials");
    assert_eq!(trials.len(), 1, "the floor: {results}");
    let why = results["left_out"]["centrifuge-go"]
        .as_str()
        .expect("it is named");
    assert!(why.contains("not built"), "{why}");
    let table = fs::read_to_string(out.path().join("table.md")).expect("there is a table");
    assert!(table.contains("centrifuge-go: it is not built"), "{table}");
}

#[tokio::test]
async fn a_ladder_that_is_killed_leaves_its_complete_rounds() {
    let out = tempfile::tempdir().expect("a folder");
    let document = out.path().join("performance.md");
    fs::write(&document, "<!-- ladder: begin -->\n<!-- ladder: end -->").expect("it is written");
    let mut ladder = ladder(out.path(), &["--rounds", "1000", "--servers", "floor"])
        .args(["--only", "rooms-max", "--document"])
        .arg(&document)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    // The document is what is written last.
    let is_written = async || {
        let text = fs::read_to_string(&document).expect("it is still there");
        text.contains("### Targets")
    };
    eventually(Duration::from_secs(30), is_written).await;
    ladder.kill().expect("it is killed");
    ladder.wait().expect("it has ended");

    let text = fs::read_to_string(out.path().join("results.json")).expect("results are written");
    let results: Value = serde_json::from_str(&text).expect("they are JSON");
    let rounds = results["conditions"]["rounds"].as_u64();
    let trials = results["trials"].as_array().expect("there are trials");
    assert_eq!(rounds, Some(trials.len() as u64), "one trial in each round");
    assert!((1..1000).contains(&trials.len()), "{results}");
    assert!(out.path().join("report.html").is_file());
}

#[tokio::test]
async fn nothing_outlives_a_ladder_that_is_killed() {
    // Under a path of its own, by which its processes are known.
    let binaries = tempfile::tempdir().expect("a folder");
    for name in ["fanfare-bench", "fanfare-bench-floor"] {
        symlink(
            Path::new(BENCH).with_file_name(name),
            binaries.path().join(name),
        )
        .expect("a link");
    }
    let out = tempfile::tempdir().expect("a folder");
    let mut ladder = ladder(
        out.path(),
        &["--servers", "floor", "--only", "fanout-1000-one"],
    )
    .arg("--binaries")
    .arg(binaries.path())
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .expect("it runs");
    let floor = binaries.path().join("fanfare-bench-floor");
    let deadline = Duration::from_secs(30);
    eventually(deadline, async || runs(&floor)).await;
    ladder.kill().expect("it is killed");
    ladder.wait().expect("it has ended");
    eventually(deadline, async || !runs(&floor)).await;
}

/// Whether a process of this program is there.
fn runs(program: &Path) -> bool {
    let processes = fs::read_dir("/proc").expect("it is Linux").flatten();
    let mut commands = processes.filter_map(|process| {
        let command = fs::read(process.path().join("cmdline")).ok()?;
        String::from_utf8(command).ok()
    });
    let program = program.display().to_string();
    commands.any(|command| command.starts_with(&program))
}

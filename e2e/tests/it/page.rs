//! The page, used by two people in headless Chromium, on two gateways.

use std::process::Stdio;

use e2e::{Cluster, Options, binaries};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

#[tokio::test]
async fn two_people_chat_through_two_gateways_of_which_one_is_killed() {
    let web = binaries::root().join("web");
    let page = web.join("dist");
    assert!(
        page.join("index.html").is_file(),
        "the page is not there. Build it: npm ci --prefix web && npm run --prefix web build"
    );
    let options = Options {
        web: Some(page),
        ..Options::default()
    };
    let mut cluster = Cluster::start_with(options).await;
    let restart = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Connects, and ends when the other side does: then the gateway is there again.
    let port = restart.local_addr().unwrap().port();
    let command = format!(
        "node -e \"require('net').connect({port}, '127.0.0.1').on('close', () => {{}}).resume()\""
    );
    let shots = tempfile::tempdir().unwrap();
    let mut story = Command::new("node")
        .arg("e2e/run.mjs")
        .args(["--base", &cluster.gateway_url(0)])
        .args(["--base2", &cluster.gateway_url(1)])
        .args(["--restart", &command])
        .arg("--shots")
        .arg(shots.path())
        .current_dir(&web)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Printed by the test, so that it is shown when the test fails.
    let mut output = BufReader::new(story.stdout.take().unwrap()).lines();
    let mut errors = BufReader::new(story.stderr.take().unwrap()).lines();
    let told = async {
        while let Ok(Some(line)) = output.next_line().await {
            println!("{line}");
        }
    };
    let failed = async {
        while let Ok(Some(line)) = errors.next_line().await {
            println!("{line}");
        }
    };
    let restarts = async {
        while let Ok((asked, _)) = restart.accept().await {
            cluster.gateways[0].restart().await;
            drop(asked);
        }
    };
    tokio::select! {
        _ = async { tokio::join!(told, failed) } => {}
        () = restarts => {}
    }
    let status = story.wait().await.unwrap();
    assert!(status.success(), "{status}");
}

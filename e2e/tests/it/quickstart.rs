//! `docs/quickstart.md` is true: every snippet of it is run as a reader would.

use std::fs;
use std::os::unix::fs::symlink;

use e2e::{Sdk, SdkKind, Standalone, binaries, http};
use serde_json::json;
use tokio::process::Command;

/// Where `make run` serves, in the text.
const ADDRESS: &str = "localhost:8000";

#[tokio::test]
async fn the_page_chats_and_curl_publishes() {
    let text = Text::read();
    let fanfare = Standalone::start(&binaries::root().join("web/dist")).await;
    // As if the page had been saved in the checkout.
    let page = fanfare.dir().join("chat.html");
    fs::write(&page, text.snippet("html", 0, &fanfare)).unwrap();
    symlink(binaries::root().join("web"), fanfare.dir().join("web")).unwrap();

    let publish = text.snippet("sh", 0, &fanfare);
    assert!(publish.contains("/api/publish"), "{publish}");
    let status = Command::new("node")
        .arg(binaries::root().join("e2e/js/quickstart.mjs"))
        .arg(&page)
        .arg(&publish)
        .current_dir(fanfare.dir())
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(2 * e2e::DEADLINE, status).await;
    let status = status.expect("the browser ends in time").unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn curl_notifies() {
    let text = Text::read();
    let fanfare = Standalone::start(&binaries::root().join("web/dist")).await;
    let sign_in = json!({ "user": "alice" });
    let signed_in = http::post(&format!("{}/dev/token", fanfare.url()), &[], &sign_in).await;
    let url = format!(
        "{}/connection/websocket",
        fanfare.url().replace("http", "ws")
    );
    let alice = Sdk::connect(SdkKind::JsJson, &url, signed_in["token"].as_str().unwrap()).await;
    alice.subscribed("inbox:#alice").await;

    let notify = text.snippet("sh", 1, &fanfare);
    let output = Command::new("sh")
        .args(["-ec", &notify])
        .current_dir(fanfare.dir())
        .output()
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(answer.contains("notification_id"), "{answer}");
    alice
        .publication("inbox:#alice", "the notification", |data| {
            data["created"]["title"].is_string() && data["counts"]["unread"] == 1
        })
        .await;
}

/// The document.
struct Text(String);

impl Text {
    fn read() -> Self {
        Self(fs::read_to_string(binaries::root().join("docs/quickstart.md")).expect("it is there"))
    }

    /// The n-th fenced block of a language, made to speak to this server.
    fn snippet(&self, language: &str, n: usize, server: &Standalone) -> String {
        let fence = format!("```{language}\n");
        let block = self.0.split(&fence).nth(n + 1);
        let block = block.unwrap_or_else(|| panic!("{language} block {n} is not there"));
        let (snippet, _) = block.split_once("```").expect("a fence is closed");
        assert!(snippet.contains(ADDRESS), "{snippet}");
        let there = server.url();
        snippet.replace(ADDRESS, there.trim_start_matches("http://"))
    }
}

//! A node that has no descriptor left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Standalone, binaries, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Descriptors that the node has for clients.
const LEFT: usize = 8;
/// Clients that come.
const CLIENTS: usize = 3 * LEFT;

/// Who finds no descriptor waits, and is served when others have left.
#[tokio::test]
async fn who_finds_no_descriptor_is_served_later() {
    let fanfare = Standalone::start(&binaries::root().join("web/dist")).await;
    fanfare.process.leave_descriptors(LEFT);
    let served = Arc::new(AtomicUsize::new(0));
    let leave = Arc::new(Semaphore::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (url, served, leave) = (fanfare.url(), Arc::clone(&served), Arc::clone(&leave));
        clients.spawn(async move {
            let stream = open(&url).await;
            served.fetch_add(1, Ordering::Relaxed);
            leave.acquire().await.expect("it is not closed").forget();
            drop(stream);
        });
    }
    fanfare.process.logs("no room for a connection").await;
    assert!(served.load(Ordering::Relaxed) < CLIENTS);

    // Each who leaves makes room for one who waits.
    leave.add_permits(CLIENTS);
    let all = async { while clients.join_next().await.is_some_and(|left| left.is_ok()) {} };
    let all = tokio::time::timeout(e2e::DEADLINE, all).await;
    assert!(
        all.is_ok(),
        "{} of {CLIENTS}",
        served.load(Ordering::Relaxed)
    );
    assert_eq!(served.load(Ordering::Relaxed), CLIENTS);

    let metrics = http::get(&format!("{}/metrics", fanfare.url())).await;
    let metrics = metrics.expect("there is room again").body;
    let name = "fanfare_gateway_accept_errors_total ";
    let errors = metrics.lines().find_map(|line| line.strip_prefix(name));
    let errors: u64 = errors.expect(name).parse().unwrap();
    assert!(errors > 0, "{metrics}");
}

/// A WebSocket connection.
async fn open(url: &str) -> TcpStream {
    let host = url.strip_prefix("http://").expect("an http:// address");
    let mut stream = TcpStream::connect(host).await.expect("it listens");
    let head = format!(
        "GET /connection/websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    let asked = stream.write_all(head.as_bytes()).await;
    asked.expect("it takes a handshake");
    let mut answer = [0; 64];
    let n = stream.read(&mut answer).await.expect("it answers");
    let answer = String::from_utf8_lossy(&answer[..n]);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer:?}");
    stream
}

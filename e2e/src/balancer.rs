//! What stands before the gateways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A balancer of TCP connections: each goes to the preferred server, or if that takes no
/// connections to the next. So a test knows who is where.
///
/// When one side of a connection ends, so does the other.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    preferred: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Balancer {
    /// Listens on a free port of 127.0.0.1 in front of these ports of 127.0.0.1, and
    /// prefers the first.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(servers: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let preferred = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, servers, Arc::clone(&preferred)));
        Self {
            address,
            preferred,
            task: task.abort_handle(),
        }
    }

    /// Prefers another server from now on.
    pub fn prefer(&self, server: usize) {
        self.preferred.store(server, Ordering::Relaxed);
    }

    /// Where clients connect.
    #[must_use]
    pub fn websocket_url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, servers: Vec<u16>, preferred: Arc<AtomicUsize>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let n = servers.len();
        let first = preferred.load(Ordering::Relaxed);
        let order: Vec<_> = (0..n).map(|i| servers[(first + i) % n]).collect();
        connections.spawn(carry(client, order));
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut client: TcpStream, servers: Vec<u16>) {
    for port in servers {
        if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            tokio::select! {
                _ = copy(&mut from_client, &mut to_server) => {}
                _ = copy(&mut from_server, &mut to_client) => {}
            }
            return;
        }
    }
}

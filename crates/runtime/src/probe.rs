//! Asks a health endpoint: for container images, which have no `curl`.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long each step may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether `GET url` is answered with 200. Blocks, at most some seconds.
///
/// # Errors
/// The address is no `http://host[:port]/path`, nobody answers, or the answer is
/// another one, whose status line the error holds.
pub fn healthcheck(url: &str) -> io::Result<()> {
    let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| bad("the address must begin with http://"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port {
        authority.to_socket_addrs()?.next()
    } else {
        (authority, 80).to_socket_addrs()?.next()
    };
    let address = address.ok_or_else(|| bad("the host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // Enough for a status line; what follows does not matter.
    let mut head = Vec::with_capacity(64);
    stream.take(64).read_to_end(&mut head)?;
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    if line.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(io::Error::other(format!("answered {line:?}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::registry::Registry;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::admin::{Readiness, router, serve_on};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ready_unready_and_absent_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::new();
        let reasons = readiness.clone();
        let router = router(Arc::new(Registry::default()), move || reasons.reasons());
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_on(listener, router, stop.clone()));
        let url = format!("http://{address}/health/ready");
        let ask = |url: String| tokio::task::spawn_blocking(move || healthcheck(&url));

        ask(url.clone()).await.unwrap().unwrap();
        readiness.block("test", "not now");
        let error = ask(url.clone()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
        stop.cancel();
        server.await.unwrap().unwrap();
        ask(url).await.unwrap().unwrap_err();
        ask("ftp://x".to_owned()).await.unwrap().unwrap_err();
    }
}

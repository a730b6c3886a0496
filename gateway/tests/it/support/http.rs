//! HTTP, as plain as it can be: one request, one connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SOON;

/// Makes requests to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http {
    address: SocketAddr,
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub(crate) fn get(self, path: &str) -> Request {
        Request::new(self.address, "GET", path)
    }

    pub(crate) fn post(self, path: &str) -> Request {
        Request::new(self.address, "POST", path)
    }
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Request {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        Self {
            address,
            head,
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A WebSocket handshake by hand.
    pub(crate) fn upgrade(self) -> Self {
        self.header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// Sends it and reads the whole answer, or only its head when it is an upgrade.
    pub(crate) async fn send(self) -> Response {
        timeout(SOON, self.exchange())
            .await
            .expect("it is answered in time")
            .expect("the connection holds")
    }

    async fn exchange(self) -> std::io::Result<Response> {
        let mut stream = TcpStream::connect(self.address).await?;
        let mut head = self.head;
        if !head.contains("Upgrade") {
            head += "Connection: close\r\n";
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&self.body).await?;
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = header(head, "content-length").and_then(|n| n.parse().ok());
                let whole = length.is_some_and(|length: usize| body.len() >= length);
                if whole || head.starts_with("HTTP/1.1 101") {
                    return Ok(Response::parse(head, body));
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            let n = stream.read(&mut buffer).await?;
            if n == 0 {
                let (head, body) = text.split_once("\r\n\r\n").expect("a response");
                return Ok(Response::parse(head, body));
            }
            read.extend_from_slice(&buffer[..n]);
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
    head: String,
}

impl Response {
    fn parse(head: &str, body: &str) -> Self {
        let status = head.split(' ').nth(1).expect("a status line");
        Self {
            status: status.parse().expect("a status"),
            body: body.to_owned(),
            head: head.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("JSON is expected ({error}): {}", self.body))
    }
}

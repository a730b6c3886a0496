//! As much of HTTP as tests need: one request, one connection.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any server of ours waits for anything.
const DEADLINE: Duration = Duration::from_secs(15);

/// What a server answered.
#[derive(Debug)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// What follows the headers.
    pub body: String,
}

/// Asks for an `http://host:port/path`. `None` if there was no answer.
pub async fn get(url: &str) -> Option<Response> {
    request("GET", url, &[], "").await
}

/// Posts JSON to an `http://host:port/path` and returns the JSON of the answer.
///
/// # Panics
/// If there is no answer, another status than 200, or no JSON.
pub async fn post(url: &str, headers: &[(&str, &str)], body: &Value) -> Value {
    let answer = request("POST", url, headers, &body.to_string()).await;
    let answer = answer.unwrap_or_else(|| panic!("{url} does not answer"));
    assert_eq!(answer.status, 200, "{url}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{url}: {error}"))
}

async fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Response> {
    let rest = url.strip_prefix("http://").expect("an http:// address");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // HTTP/1.0: the end of the connection is the end of the body.
    let mut text = format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        let length = body.len();
        text += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    }
    text += "\r\n";
    text += body;
    let exchange = async {
        let mut stream = TcpStream::connect(host).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        parse(&String::from_utf8_lossy(&answer))
    };
    tokio::time::timeout(DEADLINE, exchange).await.ok()?
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Response {
        status,
        body: body.to_owned(),
    })
}

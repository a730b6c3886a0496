//! One WebSocket connection: frames out, frames in.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use wire::{Command, Format, Reply, decode_replies, encode_command, join};

use crate::error::{Closed, Error};
use crate::options::Options;

/// A WebSocket connection to a gateway, as raw as it may be used.
///
/// Nothing is answered here but WebSocket's own pings: an application ping arrives as a frame.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    format: Format,
    deadline: Duration,
    /// The subprotocol that the server chose.
    subprotocol: Option<String>,
}

/// What arrives on a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(Bytes),
    /// A binary frame.
    Binary(Bytes),
    /// WebSocket's own ping, already answered.
    Ping,
    /// WebSocket's own pong.
    Pong,
    /// The end. Nothing comes after it.
    Closed(Closed),
}

impl Socket {
    /// Makes a connection.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server answers the handshake with another status,
    /// [`Error::Transport`] when it cannot be reached, [`Error::Timeout`].
    pub async fn open(url: &str, options: &Options) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        let subprotocol = options
            .subprotocol
            .iter()
            .map(|name| ("sec-websocket-protocol", name.as_str()));
        let headers = options
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in subprotocol.chain(headers) {
            let invalid = || Error::Transport(format!("invalid header {name}"));
            request.headers_mut().append(
                HeaderName::try_from(name).map_err(|_| invalid())?,
                HeaderValue::try_from(value).map_err(|_| invalid())?,
            );
        }
        // Small buffers, so that tens of thousands of connections fit into one process; and no
        // limit on what a server may send.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0);
        let connecting = connect_async_with_config(request, Some(config), true);
        let (stream, response) = within(options.deadline, connecting).await?;
        let subprotocol = response
            .headers()
            .get("sec-websocket-protocol")
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        Ok(Self {
            stream,
            format: options.format,
            deadline: options.deadline,
            subprotocol,
        })
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Sends bytes as one frame of the kind that the format uses. JSON must be UTF-8.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Transport`], [`Error::Timeout`].
    pub async fn send_frame(&mut self, frame: impl Into<Bytes>) -> Result<(), Error> {
        let message = match self.format {
            Format::Json => {
                let text = Utf8Bytes::try_from(frame.into())
                    .map_err(|_| Error::Transport("a text frame must be UTF-8".to_owned()))?;
                Message::Text(text)
            }
            Format::Protobuf => Message::Binary(frame.into()),
        };
        self.send_message(message).await
    }

    /// Sends any WebSocket message.
    ///
    /// # Errors
    /// As [`send_frame`](Self::send_frame).
    pub async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        within(self.deadline, self.stream.send(message)).await
    }

    /// Sends commands in one frame.
    ///
    /// # Errors
    /// As [`send_frame`](Self::send_frame), and [`Error::Encode`].
    pub async fn send_commands(&mut self, commands: &[Command]) -> Result<(), Error> {
        let mut frame = Vec::new();
        for (i, command) in commands.iter().enumerate() {
            if i > 0 {
                join(self.format, &mut frame);
            }
            encode_command(self.format, command, &mut frame)?;
        }
        self.send_frame(frame).await
    }

    /// Waits for the next frame, at most as long as the deadline.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Transport`] when the peer breaks WebSocket's rules.
    pub async fn next_frame(&mut self) -> Result<Frame, Error> {
        timeout(self.deadline, self.read())
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    /// Waits for the next frame that is not WebSocket's own, and decodes it.
    ///
    /// # Errors
    /// As [`next_frame`](Self::next_frame), [`Error::Closed`], [`Error::Decode`].
    pub async fn next_replies(&mut self) -> Result<Vec<Reply>, Error> {
        loop {
            match self.next_frame().await? {
                Frame::Text(frame) | Frame::Binary(frame) => return self.decode(&frame),
                Frame::Ping | Frame::Pong => {}
                Frame::Closed(closed) => return Err(Error::Closed(closed)),
            }
        }
    }

    /// Reads until the connection is closed, and tells how it was.
    ///
    /// # Errors
    /// [`Error::Timeout`] when a frame, or the end, does not come within the deadline.
    pub async fn closed(&mut self) -> Result<Closed, Error> {
        loop {
            if let Frame::Closed(closed) = self.next_frame().await? {
                return Ok(closed);
            }
        }
    }

    /// Sends a close frame; [`closed`](Self::closed) then waits for the other side's.
    ///
    /// # Errors
    /// As [`send_frame`](Self::send_frame).
    pub async fn close(&mut self, code: u16) -> Result<(), Error> {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::default(),
        };
        within(self.deadline, self.stream.close(Some(frame))).await
    }

    pub(crate) fn decode(&self, frame: &[u8]) -> Result<Vec<Reply>, Error> {
        let replies = decode_replies(self.format, frame);
        Ok(replies.collect::<Result<_, _>>()?)
    }

    /// Waits for the next frame, without a deadline. May be cancelled without losing anything.
    pub(crate) async fn read(&mut self) -> Result<Frame, Error> {
        let closed = match self.stream.next().await {
            Some(Ok(Message::Text(text))) => return Ok(Frame::Text(text.into())),
            Some(Ok(Message::Binary(bytes))) => return Ok(Frame::Binary(bytes)),
            Some(Ok(Message::Ping(_))) => return Ok(Frame::Ping),
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => return Ok(Frame::Pong),
            Some(Ok(Message::Close(Some(frame)))) => Closed {
                code: frame.code.into(),
                reason: frame.reason.as_str().to_owned(),
            },
            Some(Ok(Message::Close(None))) => Closed {
                code: 1005,
                reason: String::new(),
            },
            // A reset, or an end without a close frame, is one way of ending.
            None
            | Some(Err(
                tungstenite::Error::ConnectionClosed
                | tungstenite::Error::AlreadyClosed
                | tungstenite::Error::Io(_)
                | tungstenite::Error::Protocol(
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                ),
            )) => Closed::abnormal(),
            Some(Err(error)) => return Err(error.into()),
        };
        Ok(Frame::Closed(closed))
    }

    /// Lets the answer to the other side's close frame go out.
    pub(crate) async fn finish(&mut self) {
        // Whether it arrives makes no difference any more.
        let _ = within(self.deadline, self.stream.flush()).await;
    }
}

async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, tungstenite::Error>>,
) -> Result<T, Error> {
    match timeout(deadline, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Timeout),
    }
}

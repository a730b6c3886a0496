//! A WebSocket server for one connection, which speaks by script.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use bytes::Bytes;
use client::{Client, Options};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use wire::{Command, Format, Reply, decode_commands, encode_reply, join};

pub(crate) struct Server {
    stream: WebSocketStream<TcpStream>,
    format: Format,
}

/// A client and the server it is connected to.
pub(crate) async fn pair(options: Options) -> (Client, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "ws://{}/connection/websocket",
        listener.local_addr().unwrap()
    );
    let format = options.format;
    let (client, server) = tokio::join!(Client::open_with(&url, options), async {
        let (tcp, _) = listener.accept().await.unwrap();
        Server::accept(tcp, format).await
    });
    (client.unwrap(), server)
}

impl Server {
    async fn accept(tcp: TcpStream, format: Format) -> Self {
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let choose = |request: &Request, mut response: Response| {
            let asked = request.headers().get("sec-websocket-protocol").cloned();
            assert_eq!(asked.as_ref().unwrap(), format.subprotocol());
            response
                .headers_mut()
                .insert("sec-websocket-protocol", asked.unwrap());
            Ok(response)
        };
        let stream = accept_hdr_async(tcp, choose).await.unwrap();
        Self { stream, format }
    }

    /// The commands of the next frame.
    pub(crate) async fn receive(&mut self) -> Vec<Command> {
        let frame = match self.stream.next().await.unwrap().unwrap() {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            other => panic!("not a data frame: {other:?}"),
        };
        decode_commands(self.format, &frame)
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Sends replies in one frame.
    pub(crate) async fn reply(&mut self, replies: &[Reply]) {
        let mut frame = Vec::new();
        for (i, reply) in replies.iter().enumerate() {
            if i > 0 {
                join(self.format, &mut frame);
            }
            encode_reply(self.format, reply, &mut frame).unwrap();
        }
        let message = match self.format {
            Format::Json => Message::text(String::from_utf8(frame).unwrap()),
            Format::Protobuf => Message::binary(frame),
        };
        self.stream.send(message).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        self.stream.close(Some(frame)).await.unwrap();
    }

    /// How the client closed; `None` when it just went away.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        // Reading goes on behind the close frame, because that is what sends the answer to it.
        while let Some(Ok(message)) = self.stream.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }
}

//! A JSON connection without any library's idea of the protocol: text in, text out.

use std::collections::VecDeque;

use client::{Error, Frame, Socket};
use serde_json::{Value, json};

/// See the module. Replies and pushes of one frame are taken apart; nothing else
/// is done with them.
#[derive(Debug)]
pub(crate) struct JsonSocket {
    pub(crate) socket: Socket,
    arrived: VecDeque<Value>,
    last_id: u32,
}

impl JsonSocket {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            arrived: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Sends a text frame as it is.
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        let sent = self.socket.send_frame(text.into()).await;
        sent.expect("the connection is open");
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        while self.arrived.is_empty() {
            match self.socket.next_frame().await.expect("a frame") {
                Frame::Text(text) => {
                    let text = std::str::from_utf8(&text).expect("text is UTF-8");
                    let messages = text.split('\n').map(serde_json::from_str);
                    self.arrived
                        .extend(messages.map(|one: Result<Value, _>| one.expect("JSON")));
                }
                Frame::Ping | Frame::Pong => {}
                other => panic!("a text frame is expected, not {other:?}"),
            }
        }
        self.arrived.pop_front().expect("it is not empty")
    }

    /// Sends a command with the next id and returns what comes next: its reply.
    pub(crate) async fn ask(&mut self, mut command: Value) -> Value {
        self.last_id += 1;
        command["id"] = json!(self.last_id);
        self.send(command.to_string()).await;
        let reply = self.next().await;
        assert_eq!(reply["id"], command["id"], "{reply}");
        reply
    }

    /// Waits for the end; nothing else may come before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        assert!(self.arrived.is_empty(), "{:?}", self.arrived);
        loop {
            match self.socket.next_frame().await {
                Ok(Frame::Closed(closed)) => return closed.code,
                Ok(Frame::Ping | Frame::Pong) => {}
                Ok(other) => panic!("the end is expected, not {other:?}"),
                Err(Error::Timeout) => panic!("it does not end"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

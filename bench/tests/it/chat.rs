//! Chat against a server that acknowledges, and may forget or repeat what it has acknowledged.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{assert_exact, count, measure, outcome, run_centrifuge};

/// More than any test sends.
const OUTBOX: usize = 65_536;
const MEMBERS: u64 = 3;

/// Whether what is acknowledged is also delivered, once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Right,
    /// Every seventh message is acknowledged and forgotten, every fifth delivered twice.
    Wrong,
}

#[derive(Clone)]
struct Server {
    manner: Manner,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How many messages each room has had.
    rooms: Vec<u64>,
    /// Room and where its messages go.
    listeners: Vec<(usize, mpsc::Sender<String>)>,
    forgotten: u64,
    repeated: u64,
}

impl Server {
    async fn start(manner: Manner) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self {
            manner,
            state: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        (server, address)
    }

    async fn serve(self, stream: TcpStream) {
        let Ok(socket) = accept_async(stream).await else {
            return;
        };
        let (mut sink, mut stream) = socket.split();
        let (outbox, mut messages) = mpsc::channel(OUTBOX);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if sink.send(Message::text::<String>(message)).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(Message::Text(text))) = stream.next().await {
            for line in text.lines() {
                let command: Value = serde_json::from_str(line).expect("a command is JSON");
                let mut reply = self.carry_out(&command, &outbox);
                reply["id"] = command["id"].clone();
                send(&outbox, reply.to_string());
            }
        }
    }

    fn carry_out(&self, command: &Value, outbox: &mpsc::Sender<String>) -> Value {
        let mut state = self.state.lock().expect("no panic");
        if command["connect"].is_object() {
            return json!({ "connect": { "client": "c" } });
        }
        if let Some(channel) = command["subscribe"]["channel"].as_str() {
            state.listeners.push((room(channel), outbox.clone()));
            return json!({ "subscribe": {} });
        }
        let data = &command["rpc"]["data"];
        let answer = match command["rpc"]["method"].as_str() {
            Some("chat.CreateRoom") => {
                let room = state.rooms.len();
                state.rooms.push(0);
                json!({ "room": { "id": format!("r{room}"), "channel": format!("room:r{room}") } })
            }
            Some("chat.SendMessage") => {
                let room = room(data["room_id"].as_str().expect("a room"));
                state.message(self.manner, room, data);
                // As the service does, with the message in it.
                json!({ "message": data })
            }
            other => panic!("{other:?} is not expected"),
        };
        json!({ "rpc": { "data": answer } })
    }
}

impl State {
    fn message(&mut self, manner: Manner, room: usize, data: &Value) {
        self.rooms[room] += 1;
        let times = match self.rooms[room] {
            number if manner == Manner::Wrong && number.is_multiple_of(7) => 0,
            number if manner == Manner::Wrong && number.is_multiple_of(5) => 2,
            _ => 1,
        };
        self.forgotten += u64::from(times == 0);
        self.repeated += u64::from(times == 2);
        let event = json!({ "message_created": data });
        let push = json!({ "channel": format!("room:r{room}"), "pub": { "data": event } });
        let push = format!(r#"{{"push":{push}}}"#);
        for (_, outbox) in self.listeners.iter().filter(|(its, _)| *its == room) {
            for _ in 0..times {
                send(outbox, push.clone());
            }
        }
    }
}

fn send(outbox: &mpsc::Sender<String>, message: String) {
    let sent = outbox.try_send(message);
    // One that has left gets nothing.
    assert!(!matches!(sent, Err(TrySendError::Full(_))), "too slow");
}

/// The number in `r7` and `room:r7`.
fn room(name: &str) -> usize {
    let (_, number) = name.rsplit_once('r').expect("a room");
    number.parse().expect("a number")
}

const CHAT: &str = "--scenario chat --rooms 4 --room-size 3 --seconds 0.4 \
                    --warmup-seconds 0.1 --drain-seconds 0.3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_delivered() {
    for window in ["--window 1", "--window 4"] {
        let (_, address) = Server::start(Manner::Right).await;
        let outcome = outcome(&run_centrifuge(address, &format!("{CHAT} {window}")).await);
        assert_exact(&outcome, MEMBERS);
        assert!(measure(&outcome, "sends_per_second") > 0.0);
        assert!(measure(&outcome, "ack_ms_p99") > 0.0);
        assert!(measure(&outcome, "sends_unacknowledged").abs() < 0.5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_and_forgotten_is_lost() {
    let (server, address) = Server::start(Manner::Wrong).await;
    let outcome = outcome(&run_centrifuge(address, CHAT).await);
    let state = server.state.lock().expect("no panic");
    assert!(state.forgotten > 0, "{outcome}");
    assert_eq!(count(&outcome, "lost"), state.forgotten * MEMBERS);
    assert_eq!(count(&outcome, "doubled"), state.repeated * MEMBERS);
    assert_eq!(count(&outcome, "reordered"), 0, "{outcome}");
}

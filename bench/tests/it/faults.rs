//! A server that makes mistakes: each must be counted, and no other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bench::payload::{Marker, PROBE, Payloads};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_tungstenite::accept_async;
use tungstenite::Message;

use crate::support::{assert_exact, count, outcome, run_plain};

const PAYLOAD: usize = 128;
const LISTENERS: u64 = 5;
/// More than any test sends.
const OUTBOX: usize = 4096;
/// What is done to the publications of this number, modulo ten.
const DROPPED: u32 = 2;
const DOUBLED: u32 = 4;
const HELD_BACK: u32 = 6;
const DAMAGED: u32 = 8;

/// What the server does with publications.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Delivers them.
    Right,
    /// Drops, doubles, swaps and damages some.
    Wrong,
    /// Delivers them to every listener of every channel.
    Everywhere,
    /// Joins them: as many as there are in one write, cut where it pleases.
    InPieces,
}

/// A listener: where its messages go, and what is held back.
struct Listener {
    channel: String,
    outbox: mpsc::Sender<Message>,
    held_back: Option<Message>,
}

#[derive(Clone)]
struct Server {
    manner: Manner,
    listeners: Arc<Mutex<Vec<Listener>>>,
}

impl Server {
    async fn start(manner: Manner) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self {
            manner,
            listeners: Arc::default(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, stream: TcpStream) {
        stream.set_nodelay(true).expect("it is open");
        let Ok(socket) = accept_async(stream).await else {
            return;
        };
        let (mut sink, mut stream) = socket.split();
        let (outbox, mut messages) = mpsc::channel(OUTBOX);
        let pieces = self.manner == Manner::InPieces;
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let sent = if pieces {
                    send_in_pieces(&mut sink, message).await
                } else {
                    sink.send(message).await
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(Message::Text(text))) = stream.next().await {
            if let Some(channel) = text.strip_prefix("sub ") {
                self.listeners.lock().expect("no panic").push(Listener {
                    channel: channel.to_owned(),
                    outbox: outbox.clone(),
                    held_back: None,
                });
            } else if let Some(publication) = text.strip_prefix("pub ") {
                let (channel, payload) = publication.split_once(' ').expect("a payload");
                self.publish(channel, payload);
            }
        }
    }

    fn publish(&self, channel: &str, payload: &str) {
        let mut marker = None;
        Payloads::json(PAYLOAD).find(payload.as_bytes(), |found| marker = found);
        let marker = marker.expect("every publication has a marker");
        for listener in self.listeners.lock().expect("no panic").iter_mut() {
            if listener.channel == channel || self.manner == Manner::Everywhere {
                listener.deliver(self.manner, marker, payload);
            }
        }
    }
}

impl Listener {
    fn deliver(&mut self, manner: Manner, marker: Marker, payload: &str) {
        let message = Message::text(payload);
        if manner != Manner::Wrong || marker.publisher == PROBE {
            return self.send(message);
        }
        match marker.sequence % 10 {
            DROPPED => {}
            DOUBLED => {
                self.send(message.clone());
                self.send(message);
            }
            HELD_BACK => self.held_back = Some(message),
            DAMAGED => self.send(Message::text(payload.replace("xx", "x"))),
            _ => {
                self.send(message);
                if let Some(held_back) = self.held_back.take() {
                    self.send(held_back);
                }
            }
        }
    }

    fn send(&self, message: Message) {
        let sent = self.outbox.try_send(message);
        // A listener that has left gets nothing.
        assert!(!matches!(sent, Err(TrySendError::Full(_))), "too slow");
    }
}

type Sink = futures_util::stream::SplitSink<tokio_tungstenite::WebSocketStream<TcpStream>, Message>;

/// One message as three frames.
async fn send_in_pieces(sink: &mut Sink, message: Message) -> tungstenite::Result<()> {
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    let bytes = message.into_data();
    let third = bytes.len() / 3;
    let parts = [
        (OpCode::Data(Data::Text), 0..third, false),
        (OpCode::Data(Data::Continue), third..2 * third, false),
        (OpCode::Data(Data::Continue), 2 * third..bytes.len(), true),
    ];
    for (opcode, range, last) in parts {
        let frame = Frame::message(bytes.slice(range), opcode, last);
        sink.send(Message::Frame(frame)).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

const FANOUT: &str = "--scenario fanout --connections 5 --rate 200 --seconds 0.6 \
                      --warmup-seconds 0.1 --drain-seconds 0.3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_faults_is_exact() {
    let address = Server::start(Manner::Right).await;
    let outcome = outcome(&run_plain(address, FANOUT).await);
    assert_exact(&outcome, LISTENERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_counted_and_no_other() {
    let address = Server::start(Manner::Wrong).await;
    let outcome = outcome(&run_plain(address, FANOUT).await);
    let sent = count(&outcome, "sent");
    assert!(sent > 20, "{outcome}");
    let mut faults: HashMap<u32, u64> = HashMap::new();
    for sequence in 0..u32::try_from(sent).expect("a few") {
        *faults.entry(sequence % 10).or_default() += LISTENERS;
    }
    // One that is held back at the very end never comes.
    let never = if (sent - 1) % 10 == u64::from(HELD_BACK) {
        LISTENERS
    } else {
        0
    };
    let lost = faults[&DROPPED] + faults[&DAMAGED] + never;
    assert_eq!(count(&outcome, "expected"), sent * LISTENERS);
    assert_eq!(count(&outcome, "lost"), lost, "{outcome}");
    assert_eq!(count(&outcome, "received"), sent * LISTENERS - lost);
    assert_eq!(count(&outcome, "doubled"), faults[&DOUBLED], "{outcome}");
    let reordered = faults[&HELD_BACK] - never;
    assert_eq!(count(&outcome, "reordered"), reordered, "{outcome}");
    assert_eq!(count(&outcome, "damaged"), faults[&DAMAGED], "{outcome}");
    assert_eq!(count(&outcome, "strayed"), 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_other_channels_has_strayed() {
    let address = Server::start(Manner::Everywhere).await;
    let arguments = "--scenario rooms --connections 6 --room-size 2 --rate 100 --seconds 0.3 \
                     --warmup-seconds 0 --drain-seconds 0.3";
    let outcome = outcome(&run_plain(address, arguments).await);
    let sent = count(&outcome, "sent");
    assert_eq!(count(&outcome, "received"), sent * 2, "{outcome}");
    // The probes of the other rooms stray too.
    assert!(count(&outcome, "strayed") >= sent * 4, "{outcome}");
    assert_eq!(count(&outcome, "lost"), 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_several_frames_are_whole() {
    let address = Server::start(Manner::InPieces).await;
    let outcome = outcome(&run_plain(address, FANOUT).await);
    assert_exact(&outcome, LISTENERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_fails_the_run() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    };
    let output = run_plain(address, FANOUT).await;
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("connections failed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_for_people() {
    let address = Server::start(Manner::Right).await;
    let output = run_plain(address, &format!("{FANOUT} --format table")).await;
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.starts_with("fanout over ws\n"), "{table}");
    assert!(table.contains("deliveries_per_second"), "{table}");
}

//! Dialects without a network: what they make of what a server sends, and what they answer.

use wire::{Format, Publication, encode_publication_push};

use super::{
    Centrifuge, Channels, Context, Dialect, Events, Masks, Nats, Nchan, Phase, Plain, Role,
    Session, SocketIo, Tally,
};
use crate::frame;
use crate::payload::{Marker, Payloads};
use crate::target::Target;

/// Both sides of a dialect.
struct Bench {
    dialect: Box<dyn Dialect>,
    session: Session,
    payloads: Payloads,
    masks: Masks,
    tally: Tally,
    out: Vec<u8>,
    failure: Option<String>,
    heard: Heard,
}

/// What was reported.
#[derive(Default)]
struct Heard {
    sequences: Vec<u32>,
    replies: Vec<(u32, bool)>,
}

impl Events for Heard {
    fn delivery(&mut self, _: &Session, marker: Option<Marker>, _: u64) {
        let marker = marker.expect("nothing is damaged");
        self.sequences.push(marker.sequence);
    }

    fn reply(&mut self, _: &Session, id: u32, result: Result<(), &str>, _: u64) {
        self.replies.push((id, result.is_ok()));
    }
}

impl Bench {
    fn new(dialect: impl Dialect + 'static, role: Role) -> Self {
        Self {
            dialect: Box::new(dialect),
            session: Session::new(role, 7, 3),
            payloads: Payloads::json(100),
            masks: Masks::new(),
            tally: Tally::default(),
            out: Vec::new(),
            failure: None,
            heard: Heard::default(),
        }
    }

    fn with<T>(
        &mut self,
        speak: impl FnOnce(&dyn Dialect, &mut Session, &mut Context<'_>, &mut Heard) -> T,
    ) -> T {
        let mut context = Context {
            now: 0,
            begun: 0,
            out: &mut self.out,
            payloads: &self.payloads,
            masks: &mut self.masks,
            tally: &mut self.tally,
            failure: &mut self.failure,
        };
        let dialect = self.dialect.as_ref();
        speak(dialect, &mut self.session, &mut context, &mut self.heard)
    }

    fn open(&mut self) {
        self.with(|dialect, session, context, _| dialect.opened(session, context));
    }

    fn receive(&mut self, message: &[u8]) {
        self.with(|dialect, session, context, heard| {
            dialect.receive(session, message, context, heard);
        });
    }

    fn payload(&self, sequence: u32) -> Vec<u8> {
        let marker = Marker {
            channel: 3,
            publisher: 0,
            sequence,
            due: 0,
        };
        let mut payload = Vec::new();
        self.payloads.write(marker, &mut payload);
        payload
    }

    /// The messages that were sent since the last call.
    fn sent(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut rest = self.out.as_slice();
        while let Some(&[_, length, ..]) = rest.first_chunk::<2>() {
            let (head, length) = match length & 0x7F {
                126 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
                length => (2, usize::from(length)),
            };
            let mask = &rest[head..head + 4];
            let payload = &rest[head + 4..head + 4 + length];
            let plain = payload.iter().zip(mask.iter().cycle());
            let plain = plain.map(|(byte, key)| byte ^ key).collect();
            messages.push(String::from_utf8(plain).expect("it is text"));
            rest = &rest[head + 4 + length..];
        }
        self.out.clear();
        messages
    }
}

fn channels() -> Channels {
    Channels::numbered("room{}")
}

fn centrifuge(format: Format) -> Bench {
    let secret = Some("a secret".to_owned());
    let dialect = Centrifuge::new(format, channels(), secret, false);
    Bench::new(dialect, Role::Listener)
}

#[test]
fn centrifuge_connects_then_subscribes_then_is_ready() {
    let mut bench = centrifuge(Format::Json);
    bench.open();
    let sent = bench.sent();
    assert!(
        sent[0].starts_with(r#"{"id":1,"connect":{"token":"ey"#),
        "{sent:?}"
    );
    bench.receive(br#"{"id":1,"connect":{"client":"c","ping":25,"pong":true}}"#);
    let sent = bench.sent();
    assert_eq!(sent, [r#"{"id":2,"subscribe":{"channel":"room3"}}"#]);
    assert_eq!(bench.session.phase, Phase::Authenticated);
    bench.receive(br#"{"id":2,"subscribe":{}}"#);
    assert_eq!(bench.session.phase, Phase::Ready);
    assert_eq!(bench.tally.ready, 1);
    assert_eq!(bench.failure, None);
}

#[test]
fn what_centrifuge_refuses_ends_the_connection() {
    let mut bench = centrifuge(Format::Json);
    bench.open();
    bench.receive(br#"{"id":1,"error":{"code":109,"message":"token expired"}}"#);
    let failure = bench.failure.as_deref();
    assert_eq!(failure, Some("refused: 109 token expired"));
}

#[test]
fn centrifuge_finds_all_that_is_joined_in_a_frame() {
    for format in Format::ALL {
        let mut bench = centrifuge(format);
        bench.session.phase = Phase::Ready;
        bench.session.answers_pings = true;
        let mut message = Vec::new();
        for sequence in [4, 5] {
            let publication = Publication {
                data: bench.payload(sequence).into(),
                offset: u64::from(sequence),
                ..Publication::default()
            };
            let written = encode_publication_push(format, "room3", &publication, &mut message);
            written.expect("the payload is JSON");
            wire::join(format, &mut message);
            message.extend_from_slice(match format {
                Format::Json => b"{}\n",
                Format::Protobuf => b"\0",
            });
        }
        if format == Format::Json {
            message.pop();
        }
        bench.receive(&message);
        assert_eq!(bench.heard.sequences, [4, 5]);
        assert_eq!(bench.tally.pings, 2);
        let pong = match format {
            Format::Json => "{}",
            Format::Protobuf => "\0",
        };
        assert_eq!(bench.sent(), [pong, pong]);
        assert_eq!(bench.failure, None);
    }
}

#[test]
fn a_reply_that_holds_a_payload_is_no_publication() {
    let mut bench = centrifuge(Format::Json);
    bench.session.phase = Phase::Ready;
    let payload = String::from_utf8(bench.payload(1)).expect("it is text");
    bench.receive(format!(r#"{{"id":9,"rpc":{{"data":{payload}}}}}"#).as_bytes());
    assert_eq!(bench.heard.replies, [(9, true)]);
    assert!(bench.heard.sequences.is_empty());
    bench.receive(br#"{"id":10,"error":{"code":100,"message":"internal"}}"#);
    assert_eq!(bench.heard.replies, [(9, true), (10, false)]);
}

#[test]
fn a_message_that_is_cut_off_ends_the_connection() {
    let mut bench = centrifuge(Format::Protobuf);
    bench.session.phase = Phase::Ready;
    bench.receive(&[5, 0x22, 1]);
    assert!(bench.failure.is_some());
}

#[test]
fn nats_is_ready_when_its_ping_is_answered() {
    let mut bench = Bench::new(Nats::new(channels()), Role::Listener);
    bench.open();
    assert_eq!(bench.sent(), Vec::<String>::new());
    bench.receive(b"INFO {\"server_id\":\"x\"}\r\n");
    let sent = bench.sent().concat();
    assert!(sent.starts_with("CONNECT {"), "{sent}");
    assert!(sent.ends_with("}\r\nSUB room3 1\r\nPING\r\n"), "{sent}");
    bench.receive(b"PONG\r\nPING\r\n");
    assert_eq!(bench.session.phase, Phase::Ready);
    assert_eq!(bench.sent(), ["PONG\r\n"]);
    assert_eq!((bench.tally.pings, bench.failure), (1, None));
}

#[test]
fn nats_messages_are_whole_wherever_frames_cut_them() {
    let payload = |bench: &Bench, sequence| {
        let payload = bench.payload(sequence);
        let head = format!("MSG room3 1 {}\r\n", payload.len());
        [head.as_bytes(), &payload, b"\r\n"].concat()
    };
    let length = payload(&Bench::new(Nats::new(channels()), Role::Listener), 0).len() * 2;
    for cut in 0..=length {
        let mut bench = Bench::new(Nats::new(channels()), Role::Listener);
        bench.session.phase = Phase::Ready;
        let both = [payload(&bench, 1), payload(&bench, 2)].concat();
        bench.receive(&both[..cut]);
        bench.receive(&both[cut..]);
        assert_eq!(bench.heard.sequences, [1, 2], "cut at {cut}");
        assert_eq!(bench.failure, None, "cut at {cut}");
    }
}

#[test]
fn nchan_answers_belong_to_publications_in_their_order() {
    let target = Target::parse("http://127.0.0.1:80/pub/{channel}").expect("it is valid");
    let mut bench = Bench::new(Nchan::new(target), Role::Publisher);
    for _ in 0..2 {
        let payload = bench.payload(0);
        bench.with(|dialect, session, context, _| {
            dialect.publish(session, "room3", &payload, context)
        });
    }
    let sent = String::from_utf8(std::mem::take(&mut bench.out)).expect("it is text");
    let request = "POST /pub/room3 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n";
    assert_eq!(sent.matches(request).count(), 2, "{sent}");
    let answers = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 403 No\r\n\r\n";
    let used = bench.with(|dialect, session, context, heard| {
        let cut = answers.len() - 1;
        dialect.receive_stream(session, &answers[..cut], context, heard)
    });
    assert_eq!(bench.heard.replies, [(1, true)]);
    bench.with(|dialect, session, context, heard| {
        dialect.receive_stream(session, &answers[used..], context, heard)
    });
    assert_eq!(bench.heard.replies, [(1, true), (2, false)]);
}

#[test]
fn socketio_opens_joins_subscribes_and_answers_pings() {
    let mut bench = Bench::new(SocketIo::new(channels()), Role::Listener);
    bench.open();
    bench.receive(br#"0{"sid":"a","pingInterval":25000}"#);
    assert_eq!(bench.sent(), ["40"]);
    bench.receive(br#"40{"sid":"b"}"#);
    assert_eq!(bench.sent(), [r#"420["sub","room3"]"#]);
    bench.receive(b"430[]");
    assert_eq!(bench.session.phase, Phase::Ready);
    bench.receive(b"2");
    assert_eq!(bench.sent(), ["3"]);
    let payload = String::from_utf8(bench.payload(8)).expect("it is text");
    bench.receive(format!(r#"42["pub",{payload}]"#).as_bytes());
    assert_eq!(bench.heard.sequences, [8]);
    bench.receive(b"41");
    assert!(bench.failure.is_some(), "the server has disconnected it");
}

#[test]
fn the_plain_dialect_says_what_it_wants_and_nothing_else() {
    let mut bench = Bench::new(Plain::new(channels()), Role::Listener);
    bench.open();
    assert_eq!(bench.sent(), ["sub room3"]);
    bench.receive(b"{}");
    assert_eq!(bench.tally.pings, 1);
    let payload = bench.payload(0);
    bench.with(|dialect, session, context, _| dialect.publish(session, "room3", &payload, context));
    let text = String::from_utf8(payload).expect("it is text");
    assert_eq!(bench.sent(), [format!("pub room3 {text}")]);
    bench.receive(b"nonsense");
    assert!(bench.failure.is_some());
}

#[test]
fn frames_are_not_masked_alike() {
    let mut bench = Bench::new(Plain::new(channels()), Role::Listener);
    bench.open();
    let first = std::mem::take(&mut bench.out);
    bench.open();
    assert_ne!(first, bench.out);
    assert!(
        frame::Header::read(&first).is_err(),
        "a client's frame is masked"
    );
}

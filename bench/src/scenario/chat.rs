//! Messages in rooms, each stored before it is acknowledged: sent over the socket, delivered over
//! the socket. What is acknowledged must be delivered once and in order.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use client::{Client, Options};
use serde_json::{Value, json};
use wire::{ConnectRequest, Format};

use super::{Setup, rooms};
use crate::clock::{Micros, micros, seconds};
use crate::dialect::{Events, Session};
use crate::event_loop::EventLoop;
use crate::fleet;
use crate::latency::Latencies;
use crate::outcome::{Found, Generator, count, per, ratio};
use crate::payload::Marker;
use crate::process::own_cpu;
use crate::traffic::{Publishers, Traffic};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Chat {
    /// How many rooms; each has a member who sends.
    pub rooms: usize,
    /// How many others are in each, who listen.
    pub members: usize,
    /// Messages of one sender that are not acknowledged, at most.
    pub window: u32,
    /// How long it is done before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub time: Duration,
}

/// The rooms of a run.
#[derive(Debug)]
pub struct Rooms {
    /// Their ids.
    ids: Vec<String>,
    /// Their channels, by the same places.
    pub channels: Rc<[String]>,
}

/// Makes the rooms, each owned by its sender, with its listeners as members.
///
/// # Errors
///
/// When the server cannot be reached, or refuses to.
pub fn make_rooms(chat: Chat, url: &str, token: impl Fn(&str) -> String) -> anyhow::Result<Rooms> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut ids = Vec::with_capacity(chat.rooms);
    let mut channels = Vec::with_capacity(chat.rooms);
    for room in 0..chat.rooms {
        let members = room * chat.members..(room + 1) * chat.members;
        let request = json!({
            "kind": "ROOM_KIND_GROUP",
            "name": format!("bench {room}"),
            "members": members.map(|member| format!("listener-{member}")).collect::<Vec<_>>(),
        });
        let token = token(&format!("publisher-{room}"));
        let made = runtime.block_on(make_room(url, token, &request));
        let made = made.context("a room cannot be made")?;
        let text = |name: &str| {
            let text = made["room"][name].as_str().map(str::to_owned);
            text.with_context(|| format!("a new room has no {name}"))
        };
        ids.push(text("id")?);
        channels.push(text("channel")?);
    }
    Ok(Rooms {
        ids,
        channels: channels.into(),
    })
}

async fn make_room(url: &str, token: String, request: &Value) -> anyhow::Result<Value> {
    let mut options = Options::new(Format::Json);
    // As the load that follows, and as the SDKs.
    options.subprotocol = None;
    let client = Client::open_with(url, options).await?;
    let connect = ConnectRequest {
        token,
        ..ConnectRequest::default()
    };
    client.connect(connect).await?;
    let made = client.rpc("chat.CreateRoom", request.to_string()).await?;
    Ok(serde_json::from_slice(&made.data)?)
}

/// Runs it.
///
/// # Errors
///
/// When a connection fails, or a message is refused.
pub fn run(setup: &mut Setup, chat: Chat, its_rooms: &Rooms) -> anyhow::Result<Found> {
    let channels = rooms(chat.rooms * chat.members, chat.members);
    let mut talk = Talk::new(&channels, chat.rooms);
    let listeners = setup.listeners(&channels, false);
    fleet::open(&mut setup.event_loop, listeners, setup.opening, &mut talk)?;
    let senders = setup.publishers(chat.rooms);
    let senders = fleet::open(&mut setup.event_loop, senders, setup.opening, &mut talk)?;
    talk.traffic.publish_through(&Publishers {
        connections: &senders,
        everywhere: false,
    });
    for _ in 0..chat.window {
        talk.free.extend(0..chat.rooms);
    }

    let mut sender = Sender {
        rooms: its_rooms,
        // A second run with the same rooms would else be taken for a repetition.
        run: rand::random(),
        data: Vec::new(),
    };
    let event_loop = &mut setup.event_loop;
    sender.run(event_loop, &mut talk, chat.warm_up)?;
    talk.traffic.forget_latencies();
    talk.latencies.clear();
    let (begin, cpu_before) = (event_loop.clock().now(), setup.processes.cpu()?);
    let (own_before, received_before) = (own_cpu(), talk.traffic.received());
    let acknowledged_before = talk.acknowledged;
    sender.run(event_loop, &mut talk, chat.time)?;
    let took = seconds(event_loop.clock().now() - begin);
    let acknowledged = talk.acknowledged - acknowledged_before;
    let received = talk.traffic.received() - received_before;
    let cpu = setup.processes.cpu()? - cpu_before;
    let own = own_cpu() - own_before;
    talk.drain(event_loop, setup.quiet)?;

    let mut found = Found::default();
    found.measure("sends_per_second", ratio(count(acknowledged), took));
    found.measure("deliveries_per_second", ratio(count(received), took));
    found.measure("cpu_us_per_send", per(cpu, acknowledged));
    if let Some(latencies) = talk.latencies.percentiles() {
        found.measure("ack_ms_p50", latencies.p50);
        found.measure("ack_ms_p99", latencies.p99);
        found.measure("ack_ms_max", latencies.max);
    }
    let unanswered = talk.traffic.sent() - talk.acknowledged;
    found.measure("sends_unacknowledged", count(unanswered));
    found.connections_lost(event_loop.tally());
    found.counts = Some(talk.traffic.counts(&channels));
    found.latency_ms = talk.traffic.latencies().percentiles();
    found.generator = Generator::new(own, received + acknowledged);
    Ok(found)
}

/// Sends messages.
struct Sender<'a> {
    rooms: &'a Rooms,
    run: u32,
    data: Vec<u8>,
}

impl Sender<'_> {
    fn run(
        &mut self,
        event_loop: &mut EventLoop,
        talk: &mut Talk,
        time: Duration,
    ) -> anyhow::Result<()> {
        let clock = event_loop.clock();
        let end = clock.now() + micros(time);
        loop {
            let now = clock.now();
            if now >= end {
                return talk.check(event_loop);
            }
            while let Some(room) = talk.free.pop() {
                self.send(event_loop, talk, room)?;
            }
            talk.check(event_loop)?;
            event_loop.turn(Duration::from_micros(end - now), talk)?;
        }
    }

    fn send(
        &mut self,
        event_loop: &mut EventLoop,
        talk: &mut Talk,
        room: usize,
    ) -> anyhow::Result<()> {
        let due = event_loop.clock().now();
        let (connection, marker) = talk.traffic.next(room, due);
        self.data.clear();
        // Nothing in these needs to be escaped.
        let begin = format!(
            r#"{{"room_id":"{}","client_msg_id":"{:08x}-{}","text":""#,
            self.rooms.ids[room], self.run, marker.sequence
        );
        self.data.extend_from_slice(begin.as_bytes());
        event_loop.write_payload(marker, &mut self.data);
        self.data.extend_from_slice(br#""}"#);
        let id = event_loop.call(connection, "chat.SendMessage", &self.data);
        talk.await_answer(room, id.context("this dialect has no calls")?, due);
        Ok(())
    }
}

/// Messages under way: deliveries are counted as any traffic is; answers are awaited here.
struct Talk {
    traffic: Traffic,
    /// When the messages were sent that are not acknowledged, by room and number of the call.
    waiting: HashMap<(usize, u32), Micros>,
    /// Rooms whose sender may send.
    free: Vec<usize>,
    latencies: Latencies,
    acknowledged: u64,
}

impl Talk {
    fn new(channels: &[u32], rooms: usize) -> Self {
        Self {
            traffic: Traffic::new(channels),
            waiting: HashMap::with_capacity(rooms),
            free: Vec::new(),
            latencies: Latencies::default(),
            acknowledged: 0,
        }
    }

    fn await_answer(&mut self, room: usize, id: u32, due: Micros) {
        self.waiting.insert((room, id), due);
    }

    fn check(&self, event_loop: &EventLoop) -> anyhow::Result<()> {
        fleet::check(event_loop.tally())?;
        self.traffic.check()
    }

    /// Waits for the last answers and deliveries.
    fn drain(&mut self, event_loop: &mut EventLoop, quiet: Duration) -> anyhow::Result<()> {
        let clock = event_loop.clock();
        let mut last = (0, clock.now());
        while (!self.waiting.is_empty() || self.traffic.outstanding() > 0)
            && clock.now() - last.1 < micros(quiet)
        {
            event_loop.turn(fleet::TICK.min(quiet), self)?;
            let heard = self.acknowledged + self.traffic.received();
            if heard > last.0 {
                last = (heard, clock.now());
            }
        }
        self.check(event_loop)
    }
}

impl Events for Talk {
    fn delivery(&mut self, session: &Session, marker: Option<Marker>, now: Micros) {
        self.traffic.delivery(session, marker, now);
    }

    fn reply(&mut self, session: &Session, id: u32, result: Result<(), &str>, now: Micros) {
        self.traffic.reply(session, id, result, now);
        let room = session.number as usize;
        if let Some(due) = self.waiting.remove(&(room, id)) {
            self.acknowledged += u64::from(result.is_ok());
            self.latencies.record(now.saturating_sub(due));
            self.free.push(room);
        }
    }
}

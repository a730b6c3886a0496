//! Publications to channels and their deliveries: who publishes where, what has come.
//!
//! A *stream* is what one publisher publishes to one channel: the unit that has sequence numbers,
//! an order, and a window.

use std::time::Duration;

use crate::batches::Batches;
use crate::clock::{Micros, micros};
use crate::dialect::{Events, Role, Session};
use crate::event_loop::{EventLoop, Key};
use crate::fleet::{TICK, check};
use crate::latency::Latencies;
use crate::ledger::{Arrival, Counts, Ledger};
use crate::payload::{Marker, PROBE};
use crate::window::Window;

/// How often it is asked again whether a listener hears anything.
const PROBE_AGAIN: Duration = Duration::from_millis(250);

/// What one publisher publishes to one channel.
#[derive(Debug)]
struct Stream {
    channel: u32,
    publisher: u32,
    /// Its publisher's place among the connections.
    sender: usize,
    connection: Key,
    sent: u32,
    window: Option<Window>,
}

/// All streams, and what became of them.
#[derive(Debug)]
pub struct Traffic {
    /// Listeners by channel.
    listeners: Vec<u32>,
    /// By channel and publisher.
    streams: Vec<Stream>,
    publishers: usize,
    ledger: Ledger,
    latencies: Latencies,
    /// Which listeners have heard a probe, and how many.
    heard: Vec<bool>,
    hearing: usize,
    /// Streams whose windows have room.
    roomy: Vec<usize>,
    batches: Option<Batches>,
    answered: u64,
    refused: u64,
    first_refusal: Option<String>,
}

/// Who publishes to a channel.
#[derive(Debug)]
pub struct Publishers<'a> {
    /// The publishers' connections.
    pub connections: &'a [Key],
    /// Whether each of them publishes to each channel; else each channel has one, in turn.
    pub everywhere: bool,
}

impl Traffic {
    /// Nothing is published yet. `channels` are those of the listeners, by their numbers.
    #[must_use]
    pub fn new(channels: &[u32]) -> Self {
        let count = channels.iter().max().map_or(0, |last| last + 1);
        let mut listeners = vec![0; count as usize];
        for &channel in channels {
            listeners[channel as usize] += 1;
        }
        Self {
            listeners,
            streams: Vec::new(),
            publishers: 1,
            ledger: Ledger::new(channels.len(), 1),
            latencies: Latencies::default(),
            heard: vec![false; channels.len()],
            hearing: 0,
            roomy: Vec::new(),
            batches: None,
            answered: 0,
            refused: 0,
            first_refusal: None,
        }
    }

    /// Says who publishes; before anything is published.
    pub fn publish_through(&mut self, publishers: &Publishers<'_>) {
        let connections = publishers.connections;
        self.publishers = if publishers.everywhere {
            connections.len()
        } else {
            1
        };
        self.ledger = Ledger::new(self.heard.len(), self.publishers);
        self.streams.clear();
        for channel in 0..self.listeners.len() {
            for publisher in 0..self.publishers {
                let sender = (channel + publisher) % connections.len();
                self.streams.push(Stream {
                    channel: number(channel),
                    publisher: number(publisher),
                    sender,
                    connection: connections[sender],
                    sent: 0,
                    window: None,
                });
            }
        }
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.listeners.len()
    }

    /// Publications so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.streams
            .iter()
            .map(|stream| u64::from(stream.sent))
            .sum()
    }

    /// Deliveries so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.ledger.received()
    }

    /// How long deliveries took.
    #[must_use]
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Forgets how long earlier deliveries took.
    pub fn forget_latencies(&mut self) {
        self.latencies.clear();
    }

    /// What became of everything published.
    #[must_use]
    pub fn counts(&self, channels: &[u32]) -> Counts {
        self.ledger.counts(self.sent(), |listener, publisher| {
            let stream = channels[listener] as usize * self.publishers + publisher;
            self.streams.get(stream).map_or(0, |stream| stream.sent)
        })
    }

    /// Publications that the server has acknowledged, where it does.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Deliveries that are still to come, if nothing is lost.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let expected: u64 = self
            .streams
            .iter()
            .map(|stream| u64::from(stream.sent) * u64::from(self.listeners_of(stream.channel)))
            .sum();
        expected.saturating_sub(self.received())
    }

    fn listeners_of(&self, channel: u32) -> u32 {
        self.listeners[channel as usize]
    }

    /// Refuses to go on when the server refuses publications.
    ///
    /// # Errors
    ///
    /// With what the server said first.
    pub fn check(&self) -> anyhow::Result<()> {
        match &self.first_refusal {
            None => Ok(()),
            Some(reason) => anyhow::bail!("{} publications were refused: {reason}", self.refused),
        }
    }

    /// Gives each stream a window of this size.
    pub fn set_windows(&mut self, size: u32) {
        for stream in &mut self.streams {
            stream.window = Some(Window::new(size, stream.sent));
        }
        self.roomy = (0..self.streams.len()).collect();
    }

    /// Has each publisher publish so much at once, to its streams in turn.
    pub fn set_batches(&mut self, size: u32) {
        let senders = self.streams.iter().map(|stream| stream.sender);
        self.batches = Some(Batches::new(size, senders));
    }

    /// Publishes once to a stream, as due at `due`.
    pub fn publish(&mut self, event_loop: &mut EventLoop, stream: usize, due: Micros) {
        let (connection, marker) = self.next(stream, due);
        event_loop.publish(connection, marker);
    }

    /// The next publication of a stream and who publishes it: it counts as sent.
    pub fn next(&mut self, stream: usize, due: Micros) -> (Key, Marker) {
        let listeners = self.listeners_of(self.streams[stream].channel);
        let stream = &mut self.streams[stream];
        let marker = Marker {
            channel: stream.channel,
            publisher: stream.publisher,
            sequence: stream.sent,
            due,
        };
        stream.sent += 1;
        if let Some(window) = &mut stream.window {
            window.sent(listeners);
        }
        if let Some(batches) = &mut self.batches {
            batches.sent(stream.sender, listeners);
        }
        (stream.connection, marker)
    }

    /// Publishes wherever a window has room, and whatever batch may leave.
    pub fn fill(&mut self, event_loop: &mut EventLoop) {
        while let Some(stream) = self.roomy.pop() {
            let has_room = |traffic: &Self| {
                let window = traffic.streams[stream].window.as_ref();
                window.is_some_and(Window::has_room)
            };
            while has_room(self) {
                let now = event_loop.clock().now();
                self.publish(event_loop, stream, now);
            }
        }
        while let Some(batch) = self.batches.as_mut().and_then(Batches::take) {
            let now = event_loop.clock().now();
            for stream in batch {
                self.publish(event_loop, stream, now);
            }
        }
    }

    /// Publishes until each listener has heard something: where nothing says that a subscription
    /// is made, and where it has to be known to another node.
    ///
    /// # Errors
    ///
    /// When some hear nothing for too long.
    pub fn prove(
        &mut self,
        event_loop: &mut EventLoop,
        channels: &[u32],
        patience: Duration,
    ) -> anyhow::Result<()> {
        let clock = event_loop.clock();
        let begin = clock.now();
        let mut next = begin;
        while self.hearing < self.heard.len() {
            let now = clock.now();
            check(event_loop.tally())?;
            self.check()?;
            anyhow::ensure!(
                now - begin < micros(patience),
                "{} of {} listeners hear nothing",
                self.heard.len() - self.hearing,
                self.heard.len()
            );
            if now >= next {
                next = now + micros(PROBE_AGAIN);
                let mut deaf = vec![false; self.listeners.len()];
                for (heard, &channel) in self.heard.iter().zip(channels) {
                    deaf[channel as usize] |= !heard;
                }
                for stream in &self.streams {
                    if stream.publisher == 0 && deaf[stream.channel as usize] {
                        let marker = Marker {
                            channel: stream.channel,
                            publisher: PROBE,
                            sequence: 0,
                            due: now,
                        };
                        event_loop.publish(stream.connection, marker);
                    }
                }
            }
            event_loop.turn(TICK, self)?;
        }
        Ok(())
    }

    /// Waits until everything has come, or nothing more has for `quiet`.
    ///
    /// # Errors
    ///
    /// When waiting fails.
    pub fn drain(&mut self, event_loop: &mut EventLoop, quiet: Duration) -> anyhow::Result<()> {
        let clock = event_loop.clock();
        let mut received = self.received();
        let mut last = clock.now();
        while self.outstanding() > 0 && clock.now() - last < micros(quiet) {
            event_loop.turn(TICK.min(quiet), self)?;
            if self.received() > received {
                received = self.received();
                last = clock.now();
            }
        }
        Ok(())
    }

    fn probed(&mut self, listener: usize) {
        if let Some(heard) = self.heard.get_mut(listener)
            && !std::mem::replace(heard, true)
        {
            self.hearing += 1;
        }
    }
}

/// A place in a list as a number of a channel, stream or publisher.
pub(crate) fn number(place: usize) -> u32 {
    u32::try_from(place).expect("there are not that many")
}

impl Events for Traffic {
    #[inline]
    fn delivery(&mut self, session: &Session, marker: Option<Marker>, now: Micros) {
        let Some(marker) = marker else {
            return self.ledger.damaged();
        };
        let listener = session.number as usize;
        if session.role != Role::Listener || marker.channel != session.channel {
            return self.ledger.strayed();
        }
        if marker.publisher == PROBE {
            return self.probed(listener);
        }
        let stream = marker.channel as usize * self.publishers + marker.publisher as usize;
        let known = (marker.publisher as usize) < self.publishers;
        let Some(its) = self.streams.get_mut(stream).filter(|_| known) else {
            return self.ledger.strayed();
        };
        if marker.sequence >= its.sent {
            return self.ledger.strayed();
        }
        let publisher = marker.publisher as usize;
        let arrival = self.ledger.record(listener, publisher, marker.sequence);
        if arrival == Arrival::Doubled {
            return;
        }
        self.latencies.record(now.saturating_sub(marker.due));
        if let Some(window) = &mut its.window
            && window.delivered(marker.sequence)
        {
            self.roomy.push(stream);
        }
        if let Some(batches) = &mut self.batches {
            batches.delivered(its.sender);
        }
    }

    fn reply(&mut self, _: &Session, _: u32, result: Result<(), &str>, _: Micros) {
        match result {
            Ok(()) => self.answered += 1,
            Err(reason) => {
                self.refused += 1;
                self.first_refusal.get_or_insert_with(|| reason.to_owned());
            }
        }
    }
}

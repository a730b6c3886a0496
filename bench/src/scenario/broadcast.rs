//! Publications to listeners: one channel with many of them, many channels with few, and the same
//! from one node to another. What a delivery costs, how long it takes, how many a second there
//! can be.

use std::time::Duration;

use super::rpc::due;
use super::{Setup, rooms};
use crate::clock::{Micros, micros, seconds};
use crate::event_loop::EventLoop;
use crate::fleet;
use crate::latency::Latencies;
use crate::outcome::{Found, Generator, count, per, ratio};
use crate::process::own_cpu;
use crate::traffic::{Publishers, Traffic};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast {
    /// How many listeners.
    pub listeners: usize,
    /// How many of them share a channel.
    pub room: usize,
    /// Whether the listeners of a channel are on the same node.
    pub together: bool,
    /// How many publish.
    pub publishers: usize,
    /// When the next publication is due.
    pub pace: Pace,
    /// How long it is done before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub time: Duration,
}

/// When the next publication is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// When so many of a channel's publications are on their way: its slowest listener decides.
    Window(u32),
    /// When all of a publisher's last publications have come: then so many at once, to its
    /// channels in turn.
    Batch(u32),
    /// So many a second, over all channels in turn, whatever becomes of them.
    Rate(f64),
}

/// How long listeners only listen, before anything is published: longer than Linux puts off an
/// acknowledgement (200 ms at most).
///
/// In a connection that was just asked and answered it waits for the next question to send the
/// acknowledgement with, until that has not come once in time; from then on it acknowledges each
/// frame as it is read. How many connections were at which of the two when the first publication
/// came differed from trial to trial and with the length of the frames, from 0.7 to 1.0
/// acknowledgements per delivery; and the fewer it has to send, the more often the generator is
/// done and sleeps, and the server pays for waking it: up to a quarter of what a delivery costs.
/// Those who have listened for a while, as most have, acknowledge each.
const REST: Duration = Duration::from_millis(300);

/// Runs it.
///
/// # Errors
///
/// When a connection fails, a publication is refused, or some listener hears nothing at all.
pub fn run(setup: &mut Setup, broadcast: &Broadcast) -> anyhow::Result<Found> {
    let channels = rooms(broadcast.listeners, broadcast.room);
    let mut traffic = Traffic::new(&channels);
    let listeners = setup.listeners(&channels, broadcast.together);
    fleet::open(
        &mut setup.event_loop,
        listeners,
        setup.opening,
        &mut traffic,
    )?;
    let publishers = setup.publishers(broadcast.publishers);
    let publishers = fleet::open(
        &mut setup.event_loop,
        publishers,
        setup.opening,
        &mut traffic,
    )?;
    traffic.publish_through(&Publishers {
        connections: &publishers,
        everywhere: traffic.channels() == 1,
    });
    fleet::stay(&mut setup.event_loop, REST, &mut traffic)?;
    traffic.prove(&mut setup.event_loop, &channels, setup.opening.patience)?;

    let mut load = Load::new(&mut traffic, broadcast.pace, setup.event_loop.clock().now());
    load.run(
        &mut setup.event_loop,
        &mut traffic,
        broadcast.warm_up,
        setup.opening.patience,
    )?;
    traffic.forget_latencies();
    load.lateness.clear();
    let before = Reading::take(setup, &traffic)?;
    load.run(
        &mut setup.event_loop,
        &mut traffic,
        broadcast.time,
        setup.opening.patience,
    )?;
    let end = Reading::take(setup, &traffic)?;
    traffic.drain(&mut setup.event_loop, setup.quiet)?;
    let after = Reading::take(setup, &traffic)?;
    traffic.check()?;

    let mut found = Found::default();
    let took = seconds(end.at - before.at);
    let delivered = after.received - before.received;
    let published = end.sent - before.sent;
    let cpu = after.cpu - before.cpu;
    found.measure("cpu_us_per_delivery", per(cpu, delivered));
    found.measure("cpu_us_per_publication", per(cpu, published));
    found.measure(
        "cpu_cores",
        ratio((end.cpu - before.cpu).as_secs_f64(), took),
    );
    let rate = |events: u64| ratio(count(events), took);
    found.measure(
        "deliveries_per_second",
        rate(end.received - before.received),
    );
    found.measure("publications_per_second", rate(published));
    found.connections_lost(setup.event_loop.tally());
    if let Some(lateness) = load.lateness.percentiles() {
        found.measure("sending_late_p99_ms", lateness.p99);
    }
    found.counts = Some(traffic.counts(&channels));
    found.latency_ms = traffic.latencies().percentiles();
    found.generator = Generator::new(after.own - before.own, delivered);
    Ok(found)
}

/// Where everything stands at one moment.
struct Reading {
    at: Micros,
    cpu: Duration,
    own: Duration,
    sent: u64,
    received: u64,
}

impl Reading {
    fn take(setup: &mut Setup, traffic: &Traffic) -> anyhow::Result<Self> {
        Ok(Self {
            at: setup.event_loop.clock().now(),
            cpu: setup.processes.cpu()?,
            own: own_cpu(),
            sent: traffic.sent(),
            received: traffic.received(),
        })
    }
}

/// Publishes at a pace.
struct Load {
    pace: Pace,
    begin: Micros,
    /// Publications made at a rate.
    made: u64,
    /// How much later than due they were made.
    lateness: Latencies,
}

impl Load {
    fn new(traffic: &mut Traffic, pace: Pace, now: Micros) -> Self {
        match pace {
            Pace::Window(size) => traffic.set_windows(size),
            Pace::Batch(size) => traffic.set_batches(size),
            Pace::Rate(_) => {}
        }
        Self {
            pace,
            begin: now,
            made: 0,
            lateness: Latencies::default(),
        }
    }

    /// Goes on for `time`.
    fn run(
        &mut self,
        event_loop: &mut EventLoop,
        traffic: &mut Traffic,
        time: Duration,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let clock = event_loop.clock();
        let end = clock.now() + micros(time);
        let mut received = traffic.received();
        let mut last = clock.now();
        loop {
            let now = clock.now();
            if now >= end {
                return Ok(());
            }
            if traffic.received() > received {
                received = traffic.received();
                last = now;
            }
            anyhow::ensure!(
                now - last < micros(patience),
                "nothing is delivered any more; {} deliveries are missing",
                traffic.outstanding()
            );
            let next = match self.pace {
                Pace::Window(_) | Pace::Batch(_) => {
                    traffic.fill(event_loop);
                    end
                }
                Pace::Rate(rate) => self.publish_due(event_loop, traffic, rate, now),
            };
            let wait = Duration::from_micros(next.min(end).saturating_sub(clock.now()));
            event_loop.turn(wait, traffic)?;
        }
    }

    /// Publishes what is due; returns when the next one is.
    fn publish_due(
        &mut self,
        event_loop: &mut EventLoop,
        traffic: &mut Traffic,
        rate: f64,
        now: Micros,
    ) -> Micros {
        loop {
            let due = due(self.begin, self.made, rate);
            if due > now {
                return due;
            }
            let streams = traffic.streams() as u64;
            let stream = usize::try_from(self.made % streams).expect("less than the streams");
            traffic.publish(event_loop, stream, due);
            self.lateness.record(now - due);
            self.made += 1;
        }
    }
}

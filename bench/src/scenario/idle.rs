//! Connections that do nothing: what opening them costs, what they hold, what keeping them alive
//! costs, and what is left when they have gone.

use std::time::Duration;

use super::{Setup, rooms};
use crate::clock::seconds;
use crate::dialect::{Events, Session};
use crate::event_loop::Leave;
use crate::fleet::{self, TICK};
use crate::outcome::{Found, Generator, count, per, ratio};
use crate::payload::Marker;
use crate::process::own_cpu;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many.
    pub connections: usize,
    /// Whether all subscribe to the same channel; else each to its own.
    pub same_channel: bool,
    /// How long they do nothing before it is measured what that costs.
    pub settle: Duration,
    /// How long that is measured; `None`: three heartbeats, but at least ten seconds.
    pub quiet: Option<Duration>,
    /// How long after they have left it is measured what is left.
    pub left: Duration,
}

/// Runs it.
///
/// # Errors
///
/// When a connection fails or is closed, or the server's processes cannot be read.
pub fn run(setup: &mut Setup, idle: Idle) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut nothing = Nothing::default();
    let connections = u64::try_from(idle.connections)?;
    let clock = setup.event_loop.clock();
    let own_before = own_cpu();
    let memory_before = setup.processes.memory()?;

    let room = if idle.same_channel {
        idle.connections
    } else {
        1
    };
    let channels = rooms(idle.connections, room);
    let sessions = setup.listeners(&channels, false);
    let cpu_before = setup.processes.cpu()?;
    let begin = clock.now();
    let keys = fleet::open(&mut setup.event_loop, sessions, setup.opening, &mut nothing)?;
    let took = seconds(clock.now() - begin);
    // What the server does after its last answer belongs to it too.
    fleet::stay(&mut setup.event_loop, TICK, &mut nothing)?;
    let cpu = setup.processes.cpu()? - cpu_before;
    let tally = setup.event_loop.take_tally();
    let heartbeats = tally.ping_interval.unwrap_or_default() * 3;
    let quiet = idle
        .quiet
        .unwrap_or(heartbeats.max(Duration::from_secs(10)));
    found.measure("cpu_us_per_connect", per(cpu, connections));
    found.measure("connect_seconds", took);
    found.measure("connects_per_second", ratio(count(connections), took));
    found.latency_ms = tally.opening.percentiles();

    fleet::stay(&mut setup.event_loop, idle.settle, &mut nothing)?;
    let memory = setup.processes.memory()?;
    let each = |after: f64, before: f64| ratio(after - before, count(connections));
    found.measure("rss_start_kb", memory_before.rss);
    found.measure("rss_connected_kb", memory.rss);
    found.measure("rss_per_connection_kb", each(memory.rss, memory_before.rss));
    found.measure("pss_per_connection_kb", each(memory.pss, memory_before.pss));

    setup.event_loop.take_tally();
    let cpu_before = setup.processes.cpu()?;
    let begin = clock.now();
    fleet::stay(&mut setup.event_loop, quiet, &mut nothing)?;
    let cpu = setup.processes.cpu()? - cpu_before;
    let took = seconds(clock.now() - begin);
    let pings = setup.event_loop.tally().pings;
    let each_second = ratio(per(cpu, connections), took);
    found.measure("cpu_us_per_connection_second", each_second);
    found.measure("quiet_seconds", took);
    found.measure(
        "pings_per_connection",
        ratio(count(pings), count(connections)),
    );

    for key in keys {
        setup.event_loop.leave(key, Leave::Finish);
    }
    fleet::stay(&mut setup.event_loop, idle.left, &mut nothing)?;
    let left = setup.processes.memory()?;
    found.measure("rss_after_kb", left.rss);
    found.measure("rss_after_start_ratio", ratio(left.rss, memory_before.rss));
    let heard = connections + pings + nothing.messages;
    found.generator = Generator::new(own_cpu() - own_before, heard);
    Ok(found)
}

/// Expects no publications.
#[derive(Debug, Default)]
struct Nothing {
    messages: u64,
}

impl Events for Nothing {
    fn delivery(&mut self, _: &Session, _: Option<Marker>, _: u64) {
        self.messages += 1;
    }

    fn reply(&mut self, _: &Session, _: u32, _: Result<(), &str>, _: u64) {
        self.messages += 1;
    }
}

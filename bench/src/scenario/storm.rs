//! All connections are lost at once and come back at once: how long until everybody has what they
//! had before, and, if something was published meanwhile, has recovered it.
//!
//! Time runs from the first socket that is dropped; if something is published meanwhile, from when
//! the last of it is acknowledged, until the last connection is subscribed.

use super::{Setup, rooms};
use crate::clock::seconds;
use crate::dialect::Session;
use crate::event_loop::Leave;
use crate::fleet::{self, TICK, check};
use crate::outcome::{Found, Generator, count, per, ratio};
use crate::process::own_cpu;
use crate::traffic::{Publishers, Traffic};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many.
    pub connections: usize,
    /// How many of them share a channel.
    pub room: usize,
    /// How they are lost.
    pub leave: Leave,
    /// Publications to each channel while they are away, which each must recover.
    pub recover: u32,
}

/// Publications that are not acknowledged, at most, while the listeners are away.
const UNANSWERED: u64 = 256;

/// Runs it.
///
/// # Errors
///
/// When a connection fails, or what was missed cannot be recovered.
pub fn run(setup: &mut Setup, storm: &Storm) -> anyhow::Result<Found> {
    let channels = rooms(storm.connections, storm.room);
    let mut traffic = Traffic::new(&channels);
    let listeners = setup.listeners(&channels, true);
    let keys = fleet::open(
        &mut setup.event_loop,
        listeners,
        setup.opening,
        &mut traffic,
    )?;
    if storm.recover > 0 {
        let publishers = setup.publishers(setup.publish_targets.len());
        let connections = fleet::open(
            &mut setup.event_loop,
            publishers,
            setup.opening,
            &mut traffic,
        )?;
        traffic.publish_through(&Publishers {
            connections: &connections,
            everywhere: false,
        });
    }
    let mut positions = Vec::with_capacity(keys.len());
    for &key in &keys {
        let session = setup.event_loop.session(key);
        positions.push(session.and_then(|session| session.position.clone()));
    }
    anyhow::ensure!(
        storm.recover == 0 || positions.iter().all(Option::is_some),
        "the channels cannot be recovered"
    );
    check(setup.event_loop.tally())?;

    let clock = setup.event_loop.clock();
    let mut begin = clock.now();
    let mut cpu_before = setup.processes.cpu()?;
    let mut own_before = own_cpu();
    for key in keys {
        setup.event_loop.leave(key, storm.leave);
    }
    if storm.recover > 0 {
        publish(setup, &mut traffic, storm.recover)?;
        begin = clock.now();
        cpu_before = setup.processes.cpu()?;
        own_before = own_cpu();
    }
    let listeners = setup.listeners(&channels, true).zip(positions);
    let listeners = listeners.map(|((session, target), position)| {
        let position = position.filter(|_| storm.recover > 0);
        (
            Session {
                position,
                ..session
            },
            target,
        )
    });
    fleet::open(
        &mut setup.event_loop,
        listeners,
        setup.opening,
        &mut traffic,
    )?;
    let took = seconds(clock.now() - begin);
    let cpu = setup.processes.cpu()? - cpu_before;
    let own = own_cpu() - own_before;
    traffic.drain(&mut setup.event_loop, setup.quiet)?;
    // What came too often comes now, if at all.
    setup.event_loop.turn(TICK, &mut traffic)?;

    let mut found = Found::default();
    let connections = u64::try_from(storm.connections)?;
    found.measure("seconds", took);
    found.measure("connects_per_second", ratio(count(connections), took));
    found.measure("cpu_us_per_connect", per(cpu, connections));
    found.measure("cpu_seconds", cpu.as_secs_f64());
    if let Some(opening) = setup.event_loop.tally().opening.percentiles() {
        found.measure("connect_ms_p50", opening.p50);
        found.measure("connect_ms_p99", opening.p99);
        found.measure("connect_ms_max", opening.max);
    }
    if storm.recover > 0 {
        let counts = traffic.counts(&channels);
        let each = ratio(count(counts.received), count(connections));
        found.measure("recovered_per_connection", each);
        found.counts = Some(counts);
    }
    found.generator = Generator::new(own, connections + traffic.received());
    Ok(found)
}

/// Publishes so often to every channel, and returns when all of it is acknowledged.
fn publish(setup: &mut Setup, traffic: &mut Traffic, times: u32) -> anyhow::Result<()> {
    let clock = setup.event_loop.clock();
    let patience = crate::clock::micros(setup.opening.patience);
    let mut last = (traffic.answered(), clock.now());
    let mut due = (0..times)
        .flat_map(|_| 0..traffic.streams())
        .collect::<Vec<_>>()
        .into_iter();
    loop {
        traffic.check()?;
        check(setup.event_loop.tally())?;
        if traffic.answered() > last.0 {
            last = (traffic.answered(), clock.now());
        }
        anyhow::ensure!(
            clock.now() - last.1 < patience,
            "publications are not acknowledged"
        );
        while traffic.sent() - traffic.answered() < UNANSWERED
            && let Some(stream) = due.next()
        {
            traffic.publish(&mut setup.event_loop, stream, clock.now());
        }
        if traffic.answered() == traffic.sent() {
            return Ok(());
        }
        setup.event_loop.turn(TICK, traffic)?;
    }
}

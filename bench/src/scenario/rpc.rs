//! Calls that are answered: how many a second, what one costs, how long it takes.

use std::time::Duration;

use super::Setup;
use crate::clock::{Micros, micros, seconds};
use crate::dialect::{Events, Session};
use crate::event_loop::{EventLoop, Key};
use crate::fleet;
use crate::latency::Latencies;
use crate::ledger::Counts;
use crate::outcome::{Found, Generator, count, per, ratio};
use crate::payload::Marker;
use crate::process::own_cpu;

/// What is done.
#[derive(Clone, Debug)]
pub struct Rpc {
    /// How many connections.
    pub connections: usize,
    /// What is called.
    pub method: String,
    /// With what.
    pub data: String,
    /// Calls a second over all connections; `None`: each connection calls again when it is
    /// answered.
    pub rate: Option<f64>,
    /// How long it is done before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub time: Duration,
}

/// Runs it.
///
/// # Errors
///
/// When a connection fails, a call is refused, or the dialect has no calls.
pub fn run(setup: &mut Setup, rpc: &Rpc) -> anyhow::Result<Found> {
    let mut calls = Calls::new(rpc.connections);
    let sessions = setup.publishers(rpc.connections);
    let keys = fleet::open(&mut setup.event_loop, sessions, setup.opening, &mut calls)?;
    let mut load = Load {
        rpc,
        keys,
        begin: setup.event_loop.clock().now(),
        made: 0,
    };
    calls.free = (0..rpc.connections).collect();
    load.run(&mut setup.event_loop, &mut calls, rpc.warm_up)?;
    calls.latencies.clear();
    let (begin, cpu_before) = (setup.event_loop.clock().now(), setup.processes.cpu()?);
    let (own_before, answered_before) = (own_cpu(), calls.answered);
    load.run(&mut setup.event_loop, &mut calls, rpc.time)?;
    let took = seconds(setup.event_loop.clock().now() - begin);
    let answered = calls.answered - answered_before;
    let cpu = setup.processes.cpu()? - cpu_before;
    let own = own_cpu() - own_before;
    drain(setup, &mut calls)?;

    let mut found = Found::default();
    found.measure("calls_per_second", ratio(count(answered), took));
    found.measure("cpu_us_per_call", per(cpu, answered));
    found.connections_lost(setup.event_loop.tally());
    found.counts = Some(Counts {
        sent: calls.sent,
        expected: calls.sent,
        received: calls.answered,
        lost: calls.sent - calls.answered,
        strayed: calls.strayed,
        ..Counts::default()
    });
    found.latency_ms = calls.latencies.percentiles();
    found.generator = Generator::new(own, answered);
    Ok(found)
}

/// Waits for the last answers.
fn drain(setup: &mut Setup, calls: &mut Calls) -> anyhow::Result<()> {
    let clock = setup.event_loop.clock();
    let mut last = (calls.answered, clock.now());
    while calls.answered < calls.sent && clock.now() - last.1 < micros(setup.quiet) {
        setup.event_loop.turn(fleet::TICK, calls)?;
        if calls.answered > last.0 {
            last = (calls.answered, clock.now());
        }
    }
    calls.check()
}

/// Calls at a rate, or as fast as the answers come.
struct Load<'a> {
    rpc: &'a Rpc,
    keys: Vec<Key>,
    begin: Micros,
    made: u64,
}

impl Load<'_> {
    fn run(
        &mut self,
        event_loop: &mut EventLoop,
        calls: &mut Calls,
        time: Duration,
    ) -> anyhow::Result<()> {
        let clock = event_loop.clock();
        let end = clock.now() + micros(time);
        loop {
            let now = clock.now();
            if now >= end {
                return calls.check();
            }
            let mut next = end;
            match self.rpc.rate {
                None => {
                    while let Some(connection) = calls.free.pop() {
                        self.call(event_loop, calls, connection, clock.now())?;
                    }
                    calls.check()?;
                }
                Some(rate) => loop {
                    let due = due(self.begin, self.made, rate);
                    if due > now {
                        next = due;
                        break;
                    }
                    let connection = usize::try_from(self.made % self.keys.len() as u64)?;
                    self.call(event_loop, calls, connection, due)?;
                },
            }
            let wait = Duration::from_micros(next.min(end).saturating_sub(clock.now()));
            event_loop.turn(wait, calls)?;
        }
    }

    fn call(
        &mut self,
        event_loop: &mut EventLoop,
        calls: &mut Calls,
        connection: usize,
        due: Micros,
    ) -> anyhow::Result<()> {
        let data = self.rpc.data.as_bytes();
        let id = event_loop.call(self.keys[connection], &self.rpc.method, data);
        fleet::check(event_loop.tally())?;
        let id = id.ok_or_else(|| anyhow::anyhow!("this dialect has no calls"))?;
        self.made += 1;
        calls.sent += 1;
        calls.waiting[connection].push((id, due));
        Ok(())
    }
}

/// When the event of this number is due, at so many a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive time of this run"
)]
pub(crate) fn due(begin: Micros, made: u64, rate: f64) -> Micros {
    begin + (count(made) * 1e6 / rate) as u64
}

/// Calls under way.
struct Calls {
    /// By connection, number and time of what is not answered.
    waiting: Vec<Vec<(u32, Micros)>>,
    /// Connections that wait for nothing.
    free: Vec<usize>,
    latencies: Latencies,
    sent: u64,
    answered: u64,
    strayed: u64,
    first_refusal: Option<String>,
}

impl Calls {
    fn new(connections: usize) -> Self {
        Self {
            waiting: vec![Vec::new(); connections],
            free: Vec::new(),
            latencies: Latencies::default(),
            sent: 0,
            answered: 0,
            strayed: 0,
            first_refusal: None,
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        match &self.first_refusal {
            None => Ok(()),
            Some(reason) => anyhow::bail!("a call was refused: {reason}"),
        }
    }
}

impl Events for Calls {
    fn delivery(&mut self, _: &Session, _: Option<Marker>, _: Micros) {
        self.strayed += 1;
    }

    fn reply(&mut self, session: &Session, id: u32, result: Result<(), &str>, now: Micros) {
        if let Err(reason) = result {
            self.first_refusal.get_or_insert_with(|| reason.to_owned());
        }
        let connection = session.number as usize;
        let Some(waiting) = self.waiting.get_mut(connection) else {
            return;
        };
        let Some(place) = waiting.iter().position(|&(its, _)| its == id) else {
            self.strayed += 1;
            return;
        };
        let (_, due) = waiting.remove(place);
        self.answered += 1;
        self.latencies.record(now.saturating_sub(due));
        if waiting.is_empty() {
            self.free.push(connection);
        }
    }
}

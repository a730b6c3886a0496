//! Many connections: opening them a few at a time, and knowing when all are ready.

use std::time::Duration;

use crate::clock::micros;
use crate::dialect::{Events, Session, Tally};
use crate::event_loop::{EventLoop, Key};
use crate::target::Target;

/// How connections are opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Most connections that are being opened at a time.
    pub in_flight: usize,
    /// How long nothing may happen before it is given up.
    pub patience: Duration,
}

/// Longest time that one turn of the loop waits where nothing is due.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Opens these connections and returns when all are ready; their keys are in the same order. The
/// event loop's tally begins anew.
///
/// # Errors
///
/// When one of them fails, or nothing happens for too long.
pub fn open(
    event_loop: &mut EventLoop,
    sessions: impl ExactSizeIterator<Item = (Session, Target)>,
    opening: Opening,
    events: &mut dyn Events,
) -> anyhow::Result<Vec<Key>> {
    let all = sessions.len();
    let mut sessions = sessions;
    let mut keys = Vec::with_capacity(all);
    let clock = event_loop.clock();
    event_loop.take_tally();
    let mut ready = 0;
    let mut last = clock.now();
    loop {
        let tally = event_loop.tally();
        check(tally)?;
        let now_ready = usize::try_from(tally.ready)?;
        if now_ready == all {
            return Ok(keys);
        }
        if now_ready > ready {
            ready = now_ready;
            last = clock.now();
        }
        anyhow::ensure!(
            clock.now() - last < micros(opening.patience),
            "{ready} of {all} connections are ready, and no other will be"
        );
        while keys.len() - usize::try_from(event_loop.tally().ready)? < opening.in_flight
            && let Some((session, target)) = sessions.next()
        {
            keys.push(event_loop.open(&target, session)?);
        }
        event_loop.turn(TICK, events)?;
    }
}

/// Lets time pass.
///
/// # Errors
///
/// When a connection ends meanwhile.
pub fn stay(
    event_loop: &mut EventLoop,
    time: Duration,
    events: &mut dyn Events,
) -> anyhow::Result<()> {
    let clock = event_loop.clock();
    let end = clock.now() + micros(time);
    loop {
        let now = clock.now();
        if now >= end {
            return check(event_loop.tally());
        }
        event_loop.turn(Duration::from_micros(end - now), events)?;
    }
}

/// Refuses to go on without a connection.
pub(crate) fn check(tally: &Tally) -> anyhow::Result<()> {
    match &tally.first_reason {
        None => Ok(()),
        Some(reason) => anyhow::bail!("{} connections failed, the first: {reason}", tally.closed),
    }
}

//! One channel on this node: who listens, and how far its publications have come.
//!
//! What arrives waits in the channel until [`Channel::deliver`]; whatever changes
//! who listens delivers it first. All listeners of a channel get the same
//! publications in the same order, so the position is kept once per channel. A hole in the offsets, however it came
//! about, is seen here and stops delivery until [`Channel::finish_repair`] has
//! filled it or said that it cannot be.

mod state;

use std::mem;
use std::sync::Arc;

use broker::{Position, Publication};
use parking_lot::Mutex;

use self::state::{BUFFERED, Joining, Next, State};
use super::block::{self, Block};
use super::fanout::{self, Helpers};
use super::listeners::Listener;
use crate::connection::{Connection, Overflow};
use crate::metrics::Metrics;
use crate::session::Event;

/// Publications that wait to be delivered. Whoever brings one more delivers them.
const WAITING: usize = 1024;

/// A publication with the epoch of its offset (empty without one).
pub(crate) type Arrived = (Arc<str>, Publication);

/// What the caller must see to after an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Arrival {
    /// The first one that waits: somebody must call [`Channel::deliver`] soon.
    First,
    /// Somebody will: nothing.
    Waits,
    /// Too many wait: [`Channel::deliver`] must be called now.
    Many,
}

/// What the caller must see to after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Delivered {
    /// Nothing.
    Done,
    /// A repair was begun: read what follows [`Channel::baseline`], and call
    /// [`Channel::finish_repair`].
    Repair,
}

/// A subscription that cannot begin without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incomplete;

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    name: Arc<str>,
    overflow: Overflow,
    common: Arc<Common>,
    /// Locked for moments only, also while a delivery is being written.
    waiting: Mutex<Vec<Arrived>>,
    state: Mutex<State>,
}

/// What all channels of a node share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) metrics: Arc<Metrics>,
    pub(super) helpers: Helpers,
}

impl Channel {
    pub(super) fn new(name: Arc<str>, overflow: Overflow, common: Arc<Common>) -> Self {
        Self {
            name,
            overflow,
            common,
            waiting: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Holds the channel for one subscription. `None`: it was removed meanwhile.
    /// Otherwise whether the broker delivers it already.
    pub(super) fn enter(&self) -> Option<bool> {
        let mut state = self.state.lock();
        if state.removed {
            return None;
        }
        state.members += 1;
        Some(state.subscribed)
    }

    /// The broker delivers it from now on.
    pub(crate) fn set_subscribed(&self) {
        self.state.lock().subscribed = true;
    }

    /// Lets go; `true`: nobody holds it any more, and
    /// [`Hub::remove_if_unused`](super::Hub::remove_if_unused) should follow.
    pub(crate) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        state.members = state.members.saturating_sub(1);
        state.members == 0
    }

    /// Marks it removed if nobody holds it.
    pub(super) fn remove_if_unused(&self) -> bool {
        let mut state = self.state.lock();
        if state.members == 0 {
            state.removed = true;
        }
        state.removed
    }

    /// Keeps what arrives from now on for a client whose subscription is being
    /// made, until [`Self::go_live`] or [`Self::remove`].
    pub(crate) fn start_joining(&self, connection: &Arc<Connection>) {
        self.state
            .lock()
            .joining
            .get_or_insert_default()
            .push(Joining {
                connection: Arc::clone(connection),
                buffer: Some(Vec::new()),
            });
    }

    /// Makes a subscription live. What arrived since [`Self::start_joining`] and is
    /// not in the subscribe reply is sent first; the reply itself was sent before.
    ///
    /// `epoch` is the epoch that `listener.after` belongs to; empty: it relies on no
    /// position. [`Delivered::Repair`]: the channel has another epoch, or a hole,
    /// which must be seen to whatever becomes of this subscription. [`Incomplete`]:
    /// it would begin with a hole, and is not live.
    pub(crate) fn go_live(
        &self,
        epoch: &Arc<str>,
        listener: Listener,
    ) -> (Delivered, Result<(), Incomplete>) {
        let mut state = self.state.lock();
        let settled = self.settle(&mut state);
        match self.join(&mut state, epoch, listener) {
            Ok(Delivered::Done) => (settled, Ok(())),
            Ok(Delivered::Repair) => (Delivered::Repair, Ok(())),
            Err(incomplete) => (settled, Err(incomplete)),
        }
    }

    fn join(
        &self,
        state: &mut State,
        epoch: &Arc<str>,
        mut listener: Listener,
    ) -> Result<Delivered, Incomplete> {
        let arrived = match state.take_joining(&listener.connection) {
            Some(joining) => joining.buffer.ok_or(Incomplete)?,
            None => Vec::new(),
        };
        for (of_epoch, publication) in arrived {
            if publication.offset > 0 {
                if !epoch.is_empty() && of_epoch != *epoch {
                    return Err(Incomplete);
                }
                if publication.offset <= listener.after {
                    continue;
                }
                if publication.offset != listener.after + 1 {
                    return Err(Incomplete);
                }
                listener.after = publication.offset;
            }
            self.send_one(&listener.connection, &of_epoch, &publication);
            if publication.ends_user.as_deref() == Some(listener.connection.user()) {
                let channel = Arc::clone(&self.name);
                listener
                    .connection
                    .post(Event::SubscriptionEnded { channel });
                return Ok(Delivered::Done);
            }
        }
        // What was read may be older than what the channel has delivered: a broker that
        // lost its memory learns again what a repair has read from the log already.
        if state.has_delivered_beyond(epoch, listener.after) {
            return Err(Incomplete);
        }
        state.listeners.add(listener);
        if epoch.is_empty() {
            return Ok(Delivered::Done);
        }
        match &state.epoch {
            None => state.epoch = Some(Arc::clone(epoch)),
            Some(known) if known == epoch => {}
            Some(_) if state.repairing.is_none() => return Ok(state.begin_repair()),
            Some(_) => {}
        }
        Ok(Delivered::Done)
    }

    /// Takes a connection out, live or joining; it gets what arrived before.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) -> Delivered {
        let mut state = self.state.lock();
        let delivered = self.settle(&mut state);
        state.take_joining(connection);
        state.listeners.remove(connection);
        delivered
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.state.lock().listeners.len()
    }

    /// Takes a publication in, to be delivered with what else arrives. Never waits
    /// for a delivery.
    pub(crate) fn publication(&self, epoch: &Arc<str>, publication: Publication) -> Arrival {
        let mut waiting = self.waiting.lock();
        waiting.push((Arc::clone(epoch), publication));
        match waiting.len() {
            1 => Arrival::First,
            WAITING.. => Arrival::Many,
            _ => Arrival::Waits,
        }
    }

    /// Delivers what waits to all who listen. Never waits for a client; costs one
    /// write per listener and some 64 KiB.
    pub(crate) fn deliver(&self) -> Delivered {
        self.settle(&mut self.state.lock())
    }

    fn settle(&self, state: &mut State) -> Delivered {
        let waiting = mem::take(&mut *self.waiting.lock());
        if waiting.is_empty() {
            return Delivered::Done;
        }
        let mut delivered = Delivered::Done;
        let mut block = self.block();
        for (epoch, publication) in waiting {
            if self.arrive(state, &mut block, epoch, publication) == Delivered::Repair {
                delivered = Delivered::Repair;
            }
        }
        self.send(state, &mut block);
        delivered
    }

    fn arrive(
        &self,
        state: &mut State,
        block: &mut Block,
        epoch: Arc<str>,
        publication: Publication,
    ) -> Delivered {
        for joining in state.joining.iter_mut().flat_map(|all| all.iter_mut()) {
            joining.keep(&epoch, &publication);
        }
        if let Some(waiting) = &mut state.repairing {
            // A longer wait is given up: the repair then reads it from history.
            if waiting.len() < BUFFERED {
                waiting.push((epoch, publication));
            }
            return Delivered::Done;
        }
        if publication.offset > 0 {
            match state.next(&epoch, publication.offset) {
                Next::Expected => state.advance(&epoch, publication.offset),
                Next::Seen => return Delivered::Done,
                Next::Hole => {
                    state.repairing = Some(Box::new(vec![(epoch, publication)]));
                    return Delivered::Repair;
                }
            }
        }
        self.add(state, block, &epoch, &publication);
        Delivered::Done
    }

    fn block(&self) -> Block {
        Block::new(&self.name)
    }

    /// Adds a publication to what is sent next, and sends it where it must not wait
    /// for more: the block is full, or somebody's subscription ends with it.
    fn add(
        &self,
        state: &mut State,
        block: &mut Block,
        epoch: &Arc<str>,
        publication: &Publication,
    ) {
        block.add(epoch, publication);
        let ends_user = publication.ends_user.as_deref();
        if block.is_full() || ends_user.is_some() {
            self.send(state, block);
        }
        let Some(user) = ends_user else {
            return;
        };
        let ended = state
            .listeners
            .remove_where(|one| one.connection.user() == user);
        for listener in ended {
            listener.connection.post(Event::SubscriptionEnded {
                channel: Arc::clone(&self.name),
            });
        }
    }

    /// Sends a block to all who listen, and empties it.
    fn send(&self, state: &mut State, block: &mut Block) {
        let count = block.len() as u64;
        if count == 0 {
            return;
        }
        let _spans = block.spans();
        let listeners = &mut state.listeners;
        let deliveries = listeners.len() as u64 * count;
        let dropped = if fanout::is_worth_help(listeners) {
            let block = mem::replace(block, self.block());
            fanout::send(block, listeners, self.overflow, &self.common.helpers)
        } else {
            let dropped = block.send_to(listeners.iter(), self.overflow);
            block.clear();
            dropped
        };
        self.common.metrics.delivered(count, deliveries, dropped);
    }

    /// Sends one publication to one connection: what arrived while it was joining.
    fn send_one(&self, connection: &Arc<Connection>, epoch: &Arc<str>, publication: &Publication) {
        let mut block = self.block();
        block.add(epoch, publication);
        block.send(connection, 0, Overflow::Disconnect);
    }

    /// Tells those who asked for it that a client joined or left.
    pub(crate) fn membership(&self, joined: bool, info: &broker::ClientInfo) -> Delivered {
        let mut state = self.state.lock();
        let delivered = self.settle(&mut state);
        let mut frames = block::Membership::new(&self.name, joined, info);
        for listener in state.listeners.iter().filter(|one| one.join_leave) {
            if let Some(frame) = frames.for_format(listener.connection.format()) {
                listener.connection.send(frame, self.overflow);
            }
        }
        delivered
    }

    /// Where the channel stands: the epoch (empty: not known yet), and the offset
    /// that every positioned listener has. `None`: nobody relies on a position.
    pub(crate) fn baseline(&self) -> Option<Position> {
        self.state.lock().baseline()
    }

    /// Notes whether the broker knows the channel, and returns whether it did not
    /// the last time.
    pub(crate) fn note_unknown(&self, unknown: bool) -> bool {
        mem::replace(&mut self.state.lock().unknown, unknown)
    }

    /// Begins a repair, unless one is under way.
    pub(crate) fn begin_repair(&self) -> Delivered {
        let mut state = self.state.lock();
        if state.repairing.is_some() {
            return Delivered::Done;
        }
        state.begin_repair()
    }

    /// Ends a repair: `missed` is everything after the baseline in order, or
    /// `None` if that cannot be had. Then the positioned listeners' subscriptions
    /// end with "insufficient state" and they come back to recover.
    pub(crate) fn finish_repair(&self, missed: Option<Vec<Arrived>>) -> Delivered {
        let mut state = self.state.lock();
        let state = &mut *state;
        let waiting = state.repairing.take().unwrap_or_default();
        let mut block = self.block();
        if let Some(missed) = missed {
            for (epoch, publication) in missed {
                // Joining clients have it from history or from the first arrival.
                match state.next(&epoch, publication.offset) {
                    Next::Seen => continue,
                    Next::Expected | Next::Hole => state.advance(&epoch, publication.offset),
                }
                self.add(state, &mut block, &epoch, &publication);
            }
        } else {
            self.common.metrics.insufficient_state();
            for listener in state.listeners.remove_where(|one| one.positioned) {
                listener.connection.post(Event::PositionLost {
                    channel: Arc::clone(&self.name),
                });
            }
            state.epoch = None;
            state.offset = None;
        }
        let mut delivered = Delivered::Done;
        let mut waiting = waiting.into_iter();
        while let Some((epoch, publication)) = waiting.next() {
            if publication.offset > 0 {
                match state.next(&epoch, publication.offset) {
                    Next::Seen => continue,
                    Next::Expected => state.advance(&epoch, publication.offset),
                    Next::Hole => {
                        let mut rest = vec![(epoch, publication)];
                        rest.extend(waiting);
                        state.repairing = Some(Box::new(rest));
                        delivered = Delivered::Repair;
                        break;
                    }
                }
            }
            self.add(state, &mut block, &epoch, &publication);
        }
        self.send(state, &mut block);
        delivered
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::poller::Poller;
    use crate::poller::tests::connect;

    fn channel() -> Channel {
        let common = Common {
            metrics: Arc::new(Metrics::register(&mut Registry::default())),
            helpers: Helpers::new(0),
        };
        Channel::new("room".into(), Overflow::Disconnect, Arc::new(common))
    }

    async fn listener(after: u64) -> Listener {
        let (connection, _client) = connect(&Poller::new().unwrap()).await;
        Listener {
            connection,
            after,
            positioned: true,
            join_leave: false,
        }
    }

    #[tokio::test]
    async fn a_hole_is_repaired_though_the_subscription_that_met_it_fails() {
        let channel = channel();
        let epoch: Arc<str> = "epoch".into();
        let there = channel.go_live(&epoch, listener(0).await);
        assert_eq!(there, (Delivered::Done, Ok(())));

        let joining = listener(1).await;
        channel.start_joining(&joining.connection);
        let third = Publication {
            offset: 3,
            ..Publication::default()
        };
        assert_eq!(channel.publication(&epoch, third), Arrival::First);
        let met = channel.go_live(&epoch, joining);
        assert_eq!(met, (Delivered::Repair, Err(Incomplete)));
    }

    /// What a client was answered may end before what the others have got already.
    #[tokio::test]
    async fn who_comes_with_an_old_position_is_told_so() {
        let channel = channel();
        let epoch: Arc<str> = "e".into();
        let (_, first) = channel.go_live(&epoch, listener(0).await);
        assert!(first.is_ok());
        for (offset, arrival) in [(1, Arrival::First), (2, Arrival::Waits)] {
            let publication = Publication {
                offset,
                ..Publication::default()
            };
            assert_eq!(channel.publication(&epoch, publication), arrival);
        }
        assert_eq!(channel.deliver(), Delivered::Done);
        let (_, late) = channel.go_live(&epoch, listener(1).await);
        assert_eq!(late, Err(Incomplete));
        let (_, current) = channel.go_live(&epoch, listener(2).await);
        assert_eq!(current, Ok(()));
        // Who relies on no position misses nothing.
        let (_, plain) = channel.go_live(&Arc::default(), listener(0).await);
        assert_eq!(plain, Ok(()));
    }
}

//! A block's way to the many listeners of a large channel, which several threads
//! walk at once.
//!
//! Whoever delivers asks other threads for help, takes one part of the listeners
//! after the other, and is done when no part is left and nobody is at one any more.
//! A thread that has no time does not help, and nothing waits for it; one that has
//! gives the others on it a turn after each part. As the channel is locked all the
//! while, the next block begins when this one has reached everybody: the order is
//! that of a single thread.

use std::mem;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::block::Block;
use super::listeners::Listeners;
use crate::connection::Overflow;
use crate::due::Due;
use crate::reactor;

/// Listeners that are worth a helper: more than a millisecond of writing, against some
/// 10 µs to wake it.
const WORTH_HELP: usize = 256;

/// Listeners that are written to without looking up: some 0.4 ms.
const PART: usize = 64;

/// The threads that can be asked, by their number.
///
/// What one of them is asked for is bounded: nobody asks a thread that has not come to the
/// last yet, and whoever asks has one fan-out under way.
#[derive(Debug)]
pub(crate) struct Helpers(Box<[Due<Arc<Fanout>>]>);

impl Helpers {
    /// As many as there are reactors.
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Due::default()).collect())
    }

    /// Helps whoever asks, for ever. Of the reactor with this number.
    pub(crate) async fn run(&self, number: usize) {
        let asked = &self.0[number];
        let help = |fanout: Arc<Fanout>| {
            if fanout.walk_part() {
                asked.add(fanout);
            }
        };
        asked.run(help, || {}).await;
    }

    /// Asks so many others than this thread, beginning with the next one.
    fn ask(&self, fanout: &Arc<Fanout>, wanted: usize) {
        let (before, after) = match reactor::current() {
            Some(here) => (&self.0[..here], &self.0[here + 1..]),
            None => (&self.0[..], &[][..]),
        };
        for other in after.iter().chain(before).take(wanted) {
            other.add_if_idle(Arc::clone(fanout));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Fanout {
    way: Mutex<Way>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Way {
    /// `None`: everybody has it, or is being written to.
    load: Option<Arc<Load>>,
    /// The first of the listeners whom nobody has taken on.
    next: usize,
    /// Parts that are being walked.
    walking: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Load {
    block: Block,
    listeners: Listeners,
    overflow: Overflow,
}

/// Whether these are too many for one thread.
pub(super) fn is_worth_help(listeners: &Listeners) -> bool {
    listeners.len() >= 2 * WORTH_HELP
}

/// Sends a block to all listeners; when it returns, it is written to or queued for
/// each of them. Returns how many publications were dropped.
pub(super) fn send(
    block: Block,
    listeners: &mut Listeners,
    overflow: Overflow,
    helpers: &Helpers,
) -> u64 {
    let wanted = listeners.len() / WORTH_HELP - 1;
    let all = mem::take(listeners);
    let dropped;
    (*listeners, dropped) = Fanout::new(block, all, overflow).send(helpers, wanted);
    dropped
}

impl Fanout {
    fn new(block: Block, listeners: Listeners, overflow: Overflow) -> Self {
        let load = Load {
            block,
            listeners,
            overflow,
        };
        Self {
            way: Mutex::new(Way {
                load: Some(Arc::new(load)),
                next: 0,
                walking: 0,
                dropped: 0,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Sends it, with this many threads besides.
    fn send(self, helpers: &Helpers, wanted: usize) -> (Listeners, u64) {
        let fanout = Arc::new(self);
        helpers.ask(&fanout, wanted);
        while fanout.walk_part() {}
        fanout.finish()
    }

    /// Sends the block to some of those who are left. `false`: nobody was.
    fn walk_part(&self) -> bool {
        let Some((mut part, start)) = self.take_part() else {
            return false;
        };
        part.send(start);
        true
    }

    fn take_part(&self) -> Option<(Part<'_>, usize)> {
        let mut way = self.way.lock();
        let load = Arc::clone(way.load.as_ref()?);
        let start = way.next;
        if start >= load.listeners.len() {
            return None;
        }
        way.next += PART;
        way.walking += 1;
        let part = Part {
            fanout: self,
            load: Some(load),
            dropped: 0,
        };
        Some((part, start))
    }

    /// Waits for those who are still at a part, a part's time at most.
    fn finish(&self) -> (Listeners, u64) {
        let mut way = self.way.lock();
        let load = way.load.take();
        while way.walking > 0 {
            self.arrived.wait(&mut way);
        }
        let load = load.and_then(Arc::into_inner);
        let load = load.expect("who walked a part has let go of the load, and nobody can take it");
        (load.listeners, way.dropped)
    }
}

/// Some listeners who are being written to. Ends when it is dropped, also by a panic,
/// for which nobody may wait.
struct Part<'a> {
    fanout: &'a Fanout,
    load: Option<Arc<Load>>,
    dropped: u64,
}

impl Part<'_> {
    fn send(&mut self, start: usize) {
        let Some(load) = &self.load else {
            return;
        };
        let listeners = load.listeners.iter().skip(start).take(PART);
        self.dropped = load.block.send_to(listeners, load.overflow);
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.load = None;
        let mut way = self.fanout.way.lock();
        way.dropped += self.dropped;
        way.walking -= 1;
        if way.walking == 0 {
            self.fanout.arrived.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use broker::Publication;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;
    use tokio::runtime::Builder;

    use super::*;
    use crate::hub::Listener;
    use crate::poller::Poller;
    use crate::poller::tests::connect;
    use crate::websocket::frame;

    const LISTENERS: usize = 2 * PART + PART / 2;
    const BLOCKS: usize = 50;

    /// A block of one publication, and the frame in which it comes.
    fn block(number: usize) -> (Block, Vec<u8>) {
        let channel: Arc<str> = "c".into();
        let data = number.to_string();
        let push = format!(r#"{{"push":{{"channel":"c","pub":{{"data":{data}}}}}}}"#);
        let publication = Publication {
            data: data.into(),
            ..Publication::default()
        };
        let mut block = Block::new(&channel);
        block.add(&Arc::default(), &publication);
        (block, frame::data(frame::TEXT, push.as_bytes()).to_vec())
    }

    async fn listeners(poller: &Arc<Poller>) -> (Listeners, Vec<TcpStream>) {
        let mut listeners = Listeners::default();
        let mut clients = Vec::new();
        for _ in 0..LISTENERS {
            let (connection, client) = connect(poller).await;
            listeners.add(Listener {
                connection,
                after: 0,
                positioned: false,
                join_leave: false,
            });
            clients.push(client);
        }
        (listeners, clients)
    }

    /// Threads that help, for as long as the test runs.
    fn helpers(count: usize) -> Arc<Helpers> {
        let helpers = Arc::new(Helpers::new(count));
        for number in 0..count {
            let helpers = Arc::clone(&helpers);
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().build().unwrap();
                runtime.block_on(helpers.run(number));
            });
        }
        helpers
    }

    #[tokio::test]
    async fn several_threads_send_everything_to_everybody_once_and_in_order() {
        let poller = Poller::new().unwrap();
        let (mut listeners, mut clients) = listeners(&poller).await;
        let helpers = helpers(2);
        let mut expected = Vec::new();

        // Those who are asked do all of it if they have to.
        let (first, frame) = block(0);
        expected.extend(frame);
        let fanout = Arc::new(Fanout::new(first, listeners, Overflow::Disconnect));
        helpers.ask(&fanout, 2);
        while fanout.way.lock().next < LISTENERS {
            thread::yield_now();
        }
        (listeners, _) = fanout.finish();

        for number in 1..BLOCKS {
            let (block, frame) = block(number);
            expected.extend(frame);
            let fanout = Fanout::new(block, listeners, Overflow::Disconnect);
            (listeners, _) = fanout.send(&helpers, 2);
        }

        assert_eq!(listeners.len(), LISTENERS);
        // Ends the connections: nothing may follow what is expected.
        drop(listeners);
        poller.clear();
        for client in &mut clients {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, expected);
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_thread_that_broke_off() {
        let poller = Poller::new().unwrap();
        let (listeners, _clients) = listeners(&poller).await;
        let (block, _) = block(0);
        let fanout = Fanout::new(block, listeners, Overflow::Disconnect);
        drop(fanout.take_part());
        while fanout.walk_part() {}
        let (listeners, dropped) = fanout.finish();
        assert_eq!((listeners.len(), dropped), (LISTENERS, 0));
    }
}

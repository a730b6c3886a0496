//! Timers of a reactor's connections in one wheel: pings, pong deadlines, expiry.
//!
//! A timer per connection would cost each of them memory and a heap operation;
//! here it is one weak reference in a slot, and one task for all.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Millis};
use crate::connection::Connection;

/// Time per slot, in milliseconds. A timer may fire two of it late.
const SLOT: Millis = 100;
/// Connections that are pinged together because they came together.
const GROUP: u32 = 64;
/// One turn is 51.2 s; what lies further ahead is looked at once per turn.
const SLOTS: usize = 512;

/// See the module.
#[derive(Debug)]
pub(crate) struct Wheel {
    clock: Clock,
    /// How long after the beginning of a slot the wheel turns to it, in milliseconds.
    lag: Millis,
    slots: Box<[Slot]>,
    /// Connections that were given a time for their first ping.
    joined: AtomicU32,
    /// The slot that the wheel sleeps until.
    wakes_for: AtomicU64,
    /// Something entered an earlier one.
    earlier: Notify,
}

/// What a slot holds of a connection; it goes from slot to slot.
type Entry = Weak<Connection>;

#[derive(Debug, Default)]
struct Slot {
    due: Mutex<Vec<Entry>>,
    /// Pings that went out when this slot was the current one, and that nobody has
    /// answered yet. It only spares a look at connections that have all answered:
    /// whether one has is its own to know.
    unanswered: AtomicU32,
    /// Pings whose answers are late when this slot is the current one.
    late: Mutex<Vec<PingedSlot>>,
}

/// Connections that were pinged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PingedSlot {
    /// The slot of that time.
    at: u64,
    /// The slot that holds them, for the next ping.
    held: u64,
}

impl Wheel {
    /// An empty wheel, number `number` of `wheels` that turn one after the other: what
    /// all clients of one are asked at once is answered while the others are still.
    pub(crate) fn new(clock: Clock, number: usize, wheels: usize) -> Self {
        Self {
            clock,
            lag: SLOT * number as u64 / wheels as u64,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            joined: AtomicU32::new(rand::random()),
            wakes_for: AtomicU64::new(0),
            earlier: Notify::new(),
        }
    }

    /// When a connection that comes now is pinged first: half an interval to one ahead.
    /// Those who come one after the other are pinged together, as what there is of them
    /// lies together, here and in the kernel; the groups are spread evenly, also those
    /// of a crowd that comes at once.
    pub(crate) fn first_ping(&self, interval: u64) -> Millis {
        /// 2³² over the golden ratio: multiples of it never come close to each other.
        const STEP: u32 = 2_654_435_769;
        let group = self.joined.fetch_add(1, Ordering::Relaxed) / GROUP;
        let spread = u64::from(group.wrapping_mul(STEP));
        let half = interval / 2;
        self.clock.now() + half + ((half * spread) >> 32)
    }

    /// Has [`Connection::tick`] called at or soon after `at`, or earlier if it was
    /// added for an earlier time.
    pub(crate) fn add(&self, connection: &Arc<Connection>, at: Millis) {
        let now = self.clock.now();
        let entry = || Arc::downgrade(connection);
        self.enter(connection, slot_for(now, at), entry);
    }

    fn enter(&self, connection: &Connection, number: u64, entry: impl FnOnce() -> Entry) {
        if connection.enter_slot(number) {
            let slot = self.slot(number);
            slot.due.lock().push(entry());
            if number < self.wakes_for.load(Ordering::Acquire) {
                self.earlier.notify_one();
            }
        }
    }

    fn slot(&self, number: u64) -> &Slot {
        #[expect(clippy::cast_possible_truncation, reason = "less than SLOTS")]
        let index = (number % SLOTS as u64) as usize;
        &self.slots[index]
    }

    /// A ping that went out at `since`, and that was to be answered, was.
    pub(crate) fn answered(&self, since: Millis) {
        let unanswered = &self.slot(since / SLOT).unanswered;
        unanswered.fetch_sub(1, Ordering::Relaxed);
    }

    /// Turns until cancelled. Between two turns it sleeps until there is something to
    /// do: an idle processor that is woken for nothing costs more than a ping does.
    pub(crate) async fn run(&self, cancelled: CancellationToken) {
        let mut done = self.current();
        loop {
            let next = self.next_after(done);
            let wait = (next * SLOT + self.lag).saturating_sub(self.clock.now());
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                () = self.earlier.notified() => continue,
                () = cancelled.cancelled() => return,
            }
            let current = self.current();
            // After a long pause one turn visits every slot there is.
            let first = done.max(current.saturating_sub(SLOTS as u64 - 1)) + 1;
            for number in first..=current {
                self.turn(number);
            }
            done = done.max(current);
        }
    }

    /// The slot that it has come to.
    fn current(&self) -> u64 {
        self.clock.now().saturating_sub(self.lag) / SLOT
    }

    /// The first slot after `done` that holds something, or the last of a turn.
    fn next_after(&self, done: u64) -> u64 {
        // Whoever enters a slot that was looked at meanwhile says so.
        self.wakes_for.store(u64::MAX, Ordering::Release);
        let last = done + SLOTS as u64 - 1;
        let next = (done + 1..last)
            .find(|&number| self.holds_something(number))
            .unwrap_or(last);
        self.wakes_for.store(next, Ordering::Release);
        next
    }

    fn holds_something(&self, number: u64) -> bool {
        let slot = self.slot(number);
        if !slot.due.lock().is_empty() {
            return true;
        }
        let late = slot.late.lock();
        late.iter()
            .any(|pinged| self.slot(pinged.at).unanswered.load(Ordering::Relaxed) > 0)
    }

    fn turn(&self, number: u64) {
        let slot = self.slot(number);
        let now = self.clock.now();
        let due = std::mem::take(&mut *slot.due.lock());
        for entry in due {
            let Some(connection) = entry.upgrade() else {
                continue;
            };
            if connection.leave_slot(number) {
                self.visit(&connection, entry, now);
            } else if connection.is_in_slot(number + SLOTS as u64) {
                // It came while the wheel had not turned to this one yet.
                slot.due.lock().push(entry);
            }
        }
        let late = std::mem::take(&mut *slot.late.lock());
        for pinged in late {
            let unanswered = &self.slot(pinged.at).unanswered;
            if unanswered.swap(0, Ordering::Relaxed) == 0 {
                continue;
            }
            let held = self.slot(pinged.held).due.lock().clone();
            for entry in held {
                if let Some(connection) = entry.upgrade() {
                    self.visit(&connection, entry, now);
                }
            }
        }
    }

    fn visit(&self, connection: &Connection, entry: Entry, now: Millis) {
        let Some(next) = connection.tick(now) else {
            return;
        };
        let held = slot_for(now, next.at);
        self.enter(connection, held, || entry);
        if let Some(late_at) = next.unless_answered {
            let at = now / SLOT;
            let unanswered = &self.slot(at).unanswered;
            unanswered.fetch_add(1, Ordering::Relaxed);
            let pinged = PingedSlot { at, held };
            let mut late = self.slot(slot_for(now, late_at)).late.lock();
            // All of a turn are the same.
            if late.last() != Some(&pinged) {
                late.push(pinged);
            }
        }
    }
}

/// The slot for what is due at `at`: a turn ahead at most.
fn slot_for(now: Millis, at: Millis) -> u64 {
    let ahead = (at.saturating_sub(now) / SLOT + 1).min(SLOTS as u64 - 1);
    now / SLOT + ahead
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;
    use wire::Disconnect;

    use super::*;
    use crate::config::Config;
    use crate::connection::Closing;
    use crate::poller::Poller;
    use crate::poller::tests::connect;

    struct Server {
        wheel: Arc<Wheel>,
        poller: Arc<Poller>,
        /// The other ends: nothing is read from them.
        clients: Vec<TcpStream>,
    }

    impl Server {
        fn start() -> Self {
            let clock = Clock::start();
            Self {
                wheel: Arc::new(Wheel::new(clock, 0, 1)),
                poller: Poller::new().unwrap(),
                clients: Vec::new(),
            }
        }

        fn run(&self) -> Running {
            let cancelled = CancellationToken::new();
            let (wheel, stop) = (Arc::clone(&self.wheel), cancelled.clone());
            let task = tokio::spawn(async move { wheel.run(stop).await });
            Running { cancelled, task }
        }

        async fn connect(&mut self, ping_at: Millis) -> Arc<Connection> {
            let (connection, client) = connect(&self.poller).await;
            self.clients.push(client);
            connection.connected(&Arc::from("user"), ping_at);
            self.wheel.add(&connection, ping_at);
            connection
        }
    }

    /// The wheel's task.
    struct Running {
        cancelled: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Running {
        async fn stop(self) {
            self.cancelled.cancel();
            self.task.await.unwrap();
        }
    }

    fn is_late(connection: &Connection) -> bool {
        connection.closing() == Some(Closing::Disconnect(Disconnect::NO_PONG))
    }

    /// Whoever does not answer in time is closed then, not at the next ping, and
    /// nobody else is; round after round, so that every slot is used again.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_found_among_those_who_do() {
        let config = Config::default();
        let interval = config.client.ping_interval.get();
        let timeout = config.client.pong_timeout.get();
        let mut server = Server::start();
        let clock = server.wheel.clock;
        let ping_at = clock.now() + 10_000;
        let answers = server.connect(ping_at).await;
        let also = server.connect(ping_at).await;
        let works = server.connect(ping_at).await;
        let wakes = server.connect(ping_at).await;
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(server.connect(ping_at).await);
        }
        let wheel = Arc::clone(&server.wheel);
        let running = server.run();

        // More than all rounds' pings are late by together: a slot each.
        let step = Duration::from_secs(2);
        tokio::time::sleep(Duration::from_secs(10) + step).await;
        works.set_busy(true);
        // The session wants to be woken between the ping and the end of its time.
        let wake_at = clock.now() + 1_000;
        wakes.wake_session_at(wake_at);
        wheel.add(&wakes, wake_at);
        for round in 0..4 {
            assert!(answers.pong(&wheel), "round {round}");
            assert!(!answers.pong(&wheel), "one ping, one pong");
            assert!(also.pong(&wheel));
            assert!(round == 0 || works.pong(&wheel));
            // One more each round answers no longer.
            let silent_now = (round + 1).min(silent.len());
            for answering in &silent[silent_now..] {
                assert!(answering.pong(&wheel));
            }
            tokio::time::sleep(timeout - 2 * step).await;
            assert!(!is_late(&silent[silent_now - 1]) || round >= silent.len());
            assert!(!is_late(&wakes) || round > 0);
            tokio::time::sleep(2 * step).await;
            assert!(silent[..silent_now].iter().all(|one| is_late(one)));
            assert!(silent[silent_now..].iter().all(|one| !is_late(one)));
            assert!(is_late(&wakes), "though it was looked at before");
            assert!(!is_late(&works), "its pong may wait behind a command");
            assert!(!is_late(&answers) && !is_late(&also));
            if round == 0 {
                assert!(works.pong(&wheel), "late, and read at last");
                works.set_busy(false);
            }
            tokio::time::sleep(interval - timeout).await;
        }
        running.stop().await;
    }

    /// The wheel sleeps until the first that it knows of; one that is due before that
    /// wakes it, and so does one that comes when there was none.
    #[tokio::test(start_paused = true)]
    async fn who_is_due_before_all_others_wakes_the_wheel() {
        let mut server = Server::start();
        let running = server.run();
        let start = server.wheel.clock.now();
        let pings = [70_000, 40_000, 10_000, 1_000].map(|ahead| start + ahead);
        let mut waiting = Vec::new();
        for ping_at in pings {
            tokio::time::sleep(Duration::from_millis(SLOT)).await;
            waiting.push((ping_at, server.connect(ping_at).await));
        }
        let timeout = Config::default().client.pong_timeout.get();
        for (ping_at, connection) in waiting.into_iter().rev() {
            let late_at = Duration::from_millis(ping_at - server.wheel.clock.now()) + timeout;
            tokio::time::sleep(late_at - Duration::from_millis(1)).await;
            assert!(!is_late(&connection), "{ping_at}");
            tokio::time::sleep(Duration::from_millis(2 * SLOT + 1)).await;
            assert!(is_late(&connection), "{ping_at}");
        }
        running.stop().await;
    }

    /// While nothing is due the wheel stands, and what is far ahead comes into a slot that
    /// it has yet to turn to for the time before.
    #[tokio::test(start_paused = true)]
    async fn who_is_due_far_ahead_is_not_lost_by_a_wheel_that_stood() {
        let mut server = Server::start();
        let running = server.run();
        tokio::time::sleep(Duration::from_millis(10 * SLOT)).await;
        let ahead = 2 * SLOT * SLOTS as u64;
        let connection = server.connect(server.wheel.clock.now() + ahead).await;
        let timeout = Config::default().client.pong_timeout.get();
        tokio::time::sleep(Duration::from_millis(ahead) + timeout).await;
        assert!(!is_late(&connection));
        tokio::time::sleep(Duration::from_millis(2 * SLOT + 1)).await;
        assert!(is_late(&connection));
        running.stop().await;
    }

    /// What is due at the same time is done by one wheel after the other.
    #[tokio::test(start_paused = true)]
    async fn wheels_take_turns() {
        let clock = Clock::start();
        let poller = Poller::new().unwrap();
        let at = clock.now() + 10 * SLOT;
        let mut pinged = Vec::new();
        for number in [0, 1, 2, 3] {
            let wheel = Arc::new(Wheel::new(clock, number, 4));
            let (connection, client) = connect(&poller).await;
            connection.connected(&Arc::from("user"), at);
            wheel.add(&connection, at);
            let stop = CancellationToken::new();
            let stopped = stop.clone();
            let running = tokio::spawn(async move { wheel.run(stopped).await });
            pinged.push((connection, client, stop, running));
        }
        let mut after = Vec::new();
        for (connection, client, stop, running) in pinged {
            client.readable().await.unwrap();
            after.push(clock.now() % SLOT);
            assert!(clock.now() >= at && clock.now() < at + 2 * SLOT);
            stop.cancel();
            running.await.unwrap();
            drop(connection);
        }
        assert_eq!(after, [0, 25, 50, 75]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_pinged_in_groups_that_are_spread_evenly() {
        let clock = Clock::start();
        let wheel = Wheel::new(clock, 0, 1);
        let interval = 25_000;
        let joining = (0..100 * GROUP).map(|_| wheel.first_ping(interval));
        let mut groups: Vec<Millis> = joining.collect();
        groups.dedup();
        // It begins anywhere in a group.
        assert!((100..=101).contains(&groups.len()), "{}", groups.len());
        groups.sort_unstable();
        let from = clock.now() + interval / 2;
        let to = clock.now() + interval;
        assert!(groups[0] >= from && groups[groups.len() - 1] <= to);
        let gaps = groups.windows(2).map(|two| two[1] - two[0]);
        let even = interval / 2 / 100;
        assert!(gaps.max() <= Some(3 * even), "{groups:?}");
    }
}

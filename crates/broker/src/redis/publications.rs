//! Publications with history on their way to Redis.
//!
//! One call of a script costs Redis about as much as what the script does for one
//! publication, and everybody shares the one thread that Redis has. So what is
//! published while a call is under way waits for the next one and goes with it.
//! Nothing waits for company: when no call is under way, a publication makes its own
//! at once, and when much waits, the next call leaves before the last is answered.
//! One task makes all calls of a runtime, so its publications reach Redis in the order
//! in which they were begun.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::keys::Keys;
use super::publisher::{Publisher, evalsha_in};
use super::scripts::Scripts;
use super::stats::Stats;
use super::{closed, envelope, failure, late, meta_ttl, millis, not_understood};
use crate::error::Error;
use crate::history::new_epoch;
use crate::memory::unix_millis;
use crate::{HistoryPolicy, IDEMPOTENCY_TTL, Position, PublishRequest, Published, Result};

/// Publications in one call. Redis does nothing else meanwhile, about a millisecond.
const BATCH: usize = 64;
/// Bytes after which a call takes no further publication.
const BATCH_BYTES: usize = 256 * 1024;

/// Waiting publications from which on a second call leaves before the first is
/// answered: Redis has work while an answer is on its way.
const MUCH: usize = BATCH / 2;
/// Calls under way at a time.
const CALLS: usize = 2;

/// What may wait. Beyond it, publishing fails at once: Redis does not keep up.
const MAX_WAITING: usize = 16 * 1024;
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Keys and arguments of each publication in `publish.lua`.
const N_KEYS: usize = 3;
const N_ARGUMENTS: usize = 8;

/// The handle. Dropping it ends nothing: what waits is sent.
pub(super) struct Publications {
    shared: Arc<Shared>,
}

struct Shared {
    keys: Keys,
    scripts: Arc<Scripts>,
    publisher: Arc<Publisher>,
    stats: Arc<Stats>,
    queue: Mutex<Queue>,
    much_waits: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// There is a task that makes calls.
    calling: bool,
}

struct Waiting {
    channel: Box<str>,
    envelope: Vec<u8>,
    policy: HistoryPolicy,
    idempotency_key: Option<String>,
    version: u64,
    version_epoch: String,
    /// Nobody waits longer than until then.
    deadline: Instant,
    answer: oneshot::Sender<Result<Published>>,
}

impl Publications {
    pub(super) fn new(
        keys: Keys,
        scripts: Arc<Scripts>,
        publisher: Arc<Publisher>,
        stats: Arc<Stats>,
    ) -> Self {
        let shared = Shared {
            keys,
            scripts,
            publisher,
            stats,
            queue: Mutex::default(),
            much_waits: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Has a publication sent. What becomes of it is to be waited for with
    /// [`answered`](Self::answered); given up before it was sent, it is not sent.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if too many wait already.
    pub(super) fn begin(
        &self,
        channel: &str,
        policy: HistoryPolicy,
        mut request: PublishRequest,
    ) -> Result<Answer> {
        let (answer, answered) = oneshot::channel();
        let idempotency_key = request.idempotency_key.take();
        let version = request.version;
        let version_epoch = std::mem::take(&mut request.version_epoch);
        let waiting = Waiting {
            channel: channel.into(),
            envelope: envelope::encode_publication(request, unix_millis()),
            policy,
            idempotency_key,
            version,
            version_epoch,
            deadline: self.shared.publisher.deadline(),
            answer,
        };
        match self.shared.queue.lock().push(waiting) {
            Pushed::Refused => {
                Stats::count(&self.shared.stats.errors);
                let text = "too many publications wait for redis";
                return Err(Error::Unavailable(text.into()));
            }
            // In a task of its own: the caller may give up, the others' answers may not.
            Pushed::First => drop(tokio::spawn(Arc::clone(&self.shared).send_all())),
            Pushed::Much => self.shared.much_waits.notify_one(),
            Pushed::Waits => {}
        }
        Ok(answered)
    }

    /// Waits for what becomes of a publication.
    pub(super) async fn answered(&self, answer: Answer) -> Result<Published> {
        // The task was dropped: its runtime ends.
        let published = answer.await.unwrap_or_else(|_| Err(closed()))?;
        if !published.suppressed {
            Stats::count(&self.shared.stats.publishes);
        }
        Ok(published)
    }
}

/// Where what becomes of a publication arrives.
pub(super) type Answer = oneshot::Receiver<Result<Published>>;

#[derive(Debug, PartialEq)]
enum Pushed {
    /// Too much waits already.
    Refused,
    /// Nobody makes calls: the caller begins.
    First,
    /// It waits, and there is reason for a second call.
    Much,
    /// It waits.
    Waits,
}

impl Queue {
    fn push(&mut self, waiting: Waiting) -> Pushed {
        let bytes = self.waiting_bytes + waiting.envelope.len();
        if self.waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            return Pushed::Refused;
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(waiting);
        if !std::mem::replace(&mut self.calling, true) {
            Pushed::First
        } else if self.waiting.len() == MUCH {
            Pushed::Much
        } else {
            Pushed::Waits
        }
    }

    /// What goes with the next call, without what nobody waits for any more, and without
    /// what has waited too long: that is told to be late.
    fn take(&mut self, stats: &Stats) -> Vec<Waiting> {
        let now = Instant::now();
        let mut batch = Vec::with_capacity(self.waiting.len().min(BATCH));
        let mut bytes = 0;
        while batch.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.waiting_bytes -= waiting.envelope.len();
            if waiting.deadline <= now {
                Stats::count(&stats.errors);
                // If it has given up: fine.
                let _ = waiting.answer.send(Err(late()));
            } else if !waiting.answer.is_closed() {
                bytes += waiting.envelope.len();
                batch.push(waiting);
            }
        }
        batch
    }
}

impl Shared {
    /// Makes one call after the other until nothing waits.
    async fn send_all(self: Arc<Self>) {
        let mut turns = Turns {
            queue: &self.queue,
            stats: &self.stats,
            over: false,
        };
        let mut calls = FuturesUnordered::new();
        loop {
            match turns.next(calls.len()) {
                // It begins when it is first polled, below.
                Turn::Call(batch) => calls.push(self.send(batch)),
                Turn::Over => return,
                Turn::Wait => {}
            }
            tokio::select! {
                biased;
                _ = calls.next() => {}
                () = self.much_waits.notified(), if calls.len() < CALLS => {}
            }
        }
    }

    async fn send(&self, batch: Vec<Waiting>) {
        let command = self.command(&batch);
        let script = &self.scripts.publish;
        // The oldest's.
        let deadline = batch[0].deadline;
        let call = self.publisher.script_until(deadline, script, &command);
        match call.await {
            Ok(Value::Array(answers)) if answers.len() == batch.len() => {
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    // Nobody waits: fine.
                    let _ = waiting.answer.send(self.published(answer));
                }
            }
            Ok(_) => tell(batch, not_understood),
            Err(error) => {
                let cause = cause(&error);
                tell(batch, || match &error {
                    Error::Unavailable(_) => Error::Unavailable(cause.clone().into()),
                    Error::Invalid(text) => Error::Invalid(text.clone()),
                    Error::Failed(_) => Error::Failed(cause.clone().into()),
                });
            }
        }
    }

    fn command(&self, batch: &[Waiting]) -> Cmd {
        let n_keys = N_KEYS * batch.len();
        let n_arguments = 4 + n_keys + N_ARGUMENTS * batch.len();
        // The names, and the numbers.
        let bytes = |w: &Waiting| w.envelope.len() + 4 * (w.channel.len() + 32) + 64;
        let bytes = 64 + batch.iter().map(bytes).sum::<usize>();
        let command = Cmd::with_capacity(n_arguments, bytes);
        let mut command = evalsha_in(command, &self.scripts.publish, n_keys);
        for waiting in batch {
            let channel = &waiting.channel;
            let meta = self.keys.meta(channel);
            command.arg(self.keys.history(channel)).arg(&meta);
            match &waiting.idempotency_key {
                Some(key) => command.arg(self.keys.idempotency(channel, key)),
                // Any name of the same channel will do.
                None => command.arg(&meta),
            };
        }
        command.arg(&*new_epoch());
        for waiting in batch {
            let policy = &waiting.policy;
            command
                .arg(self.keys.publications(&waiting.channel))
                .arg(&waiting.envelope)
                .arg(policy.size)
                .arg(millis(policy.ttl))
                .arg(millis(meta_ttl(policy.meta_ttl).max(policy.ttl)));
            match waiting.version {
                0 => command.arg(""),
                version => command.arg(format!("{version:020}")),
            };
            command.arg(&waiting.version_epoch);
            match &waiting.idempotency_key {
                Some(_) => command.arg(millis(IDEMPOTENCY_TTL)),
                None => command.arg(""),
            };
        }
        command
    }

    /// What `publish.lua` answers for one publication.
    fn published(&self, answer: Value) -> Result<Published> {
        let Value::BulkString(answer) = answer else {
            return Err(not_understood());
        };
        let answer = std::str::from_utf8(&answer).map_err(|_| not_understood())?;
        if let Some(text) = answer.strip_prefix('!') {
            return Err(self.publisher.caught(failure::in_script(text)));
        }
        let (suppressed, position) = match answer.strip_prefix('=') {
            Some(position) => (true, position),
            None => (false, answer),
        };
        let position = position.split_once(':').and_then(|(offset, epoch)| {
            Some(Position {
                epoch: epoch.into(),
                offset: offset.parse().ok()?,
            })
        });
        Ok(Published {
            position: Some(position.ok_or_else(not_understood)?),
            suppressed,
        })
    }
}

fn tell(batch: Vec<Waiting>, error: impl Fn() -> Error) {
    for waiting in batch {
        // Nobody waits: fine.
        let _ = waiting.answer.send(Err(error()));
    }
}

fn cause(error: &Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Who makes the calls, as long as something waits.
struct Turns<'a> {
    queue: &'a Mutex<Queue>,
    stats: &'a Stats,
    over: bool,
}

enum Turn {
    /// The next call is for these.
    Call(Vec<Waiting>),
    /// Until a call is answered or much waits.
    Wait,
    /// Nothing is left to do: who comes from now on begins.
    Over,
}

impl Turns<'_> {
    /// What to do next, with so many calls under way.
    fn next(&mut self, calls: usize) -> Turn {
        let mut queue = self.queue.lock();
        let least = match calls {
            0 => 1,
            _ if calls < CALLS => MUCH,
            _ => usize::MAX,
        };
        let batch = if queue.waiting.len() >= least {
            queue.take(self.stats)
        } else {
            Vec::new()
        };
        if !batch.is_empty() {
            return Turn::Call(batch);
        }
        if calls > 0 {
            return Turn::Wait;
        }
        self.over = true;
        queue.calling = false;
        Turn::Over
    }
}

impl Drop for Turns<'_> {
    /// When a runtime ends with a call under way.
    fn drop(&mut self) {
        if !self.over {
            self.queue.lock().calling = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting() -> (Waiting, oneshot::Receiver<Result<Published>>) {
        let (answer, answered) = oneshot::channel();
        let policy = HistoryPolicy {
            size: 1,
            ttl: Duration::from_secs(1),
            meta_ttl: Duration::ZERO,
        };
        let waiting = Waiting {
            channel: "c".into(),
            envelope: vec![0; 1000],
            policy,
            idempotency_key: None,
            version: 0,
            version_epoch: String::new(),
            deadline: Instant::now() + Duration::from_secs(60),
            answer,
        };
        (waiting, answered)
    }

    fn turns<'a>(queue: &'a Mutex<Queue>, stats: &'a Stats) -> Turns<'a> {
        Turns {
            queue,
            stats,
            over: false,
        }
    }

    /// How many go with the call.
    fn call(turn: Turn) -> Option<usize> {
        match turn {
            Turn::Call(batch) => Some(batch.len()),
            Turn::Wait | Turn::Over => None,
        }
    }

    #[test]
    fn a_second_call_needs_much_that_waits_and_none_is_forgotten() {
        let queue = Mutex::new(Queue::default());
        let mut answers = Vec::new();
        let mut push = || {
            let (waiting, answered) = waiting();
            answers.push(answered);
            queue.lock().push(waiting)
        };
        assert_eq!(push(), Pushed::First);
        let stats = Stats::default();
        let mut turns = turns(&queue, &stats);
        assert_eq!(call(turns.next(0)), Some(1));
        for _ in 1..MUCH {
            assert_eq!(push(), Pushed::Waits);
        }
        assert!(matches!(turns.next(1), Turn::Wait));
        assert_eq!(push(), Pushed::Much);
        assert_eq!(call(turns.next(1)), Some(MUCH));
        for _ in 0..=BATCH {
            push();
        }
        assert!(matches!(turns.next(2), Turn::Wait));
        assert_eq!(call(turns.next(1)), Some(BATCH));
        assert!(matches!(turns.next(1), Turn::Wait), "one is not much");
        assert_eq!(call(turns.next(0)), Some(1));
        assert!(matches!(turns.next(0), Turn::Over));
        assert_eq!(push(), Pushed::First);
        drop(turns);
        assert!(queue.lock().calling, "that which just began");
    }

    #[test]
    fn when_a_caller_is_dropped_the_next_publication_begins() {
        let queue = Mutex::new(Queue::default());
        let (first, _answered) = waiting();
        assert_eq!(queue.lock().push(first), Pushed::First);
        drop(turns(&queue, &Stats::default()));
        let (second, _answered) = waiting();
        assert_eq!(queue.lock().push(second), Pushed::First);
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let mut queue = Queue::default();
        let (given_up, answered) = waiting();
        queue.push(given_up);
        drop(answered);
        let (wanted, _answered) = waiting();
        queue.push(wanted);
        assert_eq!(queue.take(&Stats::default()).len(), 1);
        assert!(queue.take(&Stats::default()).is_empty());
        assert_eq!(queue.waiting_bytes, 0);
    }

    #[test]
    fn what_has_waited_too_long_is_told_and_not_sent() {
        let mut queue = Queue::default();
        let (mut old, mut answered) = waiting();
        old.deadline = Instant::now();
        queue.push(old);
        let (young, _answered) = waiting();
        queue.push(young);
        let stats = Stats::default();
        assert_eq!(queue.take(&stats).len(), 1);
        let told = answered.try_recv().expect("it is told");
        assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
        assert_eq!(stats.errors.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut queue = Queue::default();
        let pushed = std::iter::repeat_with(|| queue.push(waiting().0));
        let n = pushed.take_while(|p| *p != Pushed::Refused).count();
        assert_eq!(n, MAX_WAITING);
        let mut queue = Queue::default();
        let large = || {
            let mut waiting = waiting().0;
            waiting.envelope = vec![0; MAX_WAITING_BYTES / 10];
            waiting
        };
        let pushed = std::iter::repeat_with(|| queue.push(large()));
        let n = pushed.take_while(|p| *p != Pushed::Refused).count();
        assert_eq!(n, 10);
    }
}

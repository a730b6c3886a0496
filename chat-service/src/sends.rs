//! Storing sends in groups: those that wait at the same time share a transaction.
//!
//! There is no timer: a send that finds the database idle goes at once, alone. While
//! groups are under way the next one gathers. Answers come after the commit.

mod queue;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use journal::Publisher;
use parking_lot::Mutex;
use service::{chain, within};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use self::queue::{Group, Limits, Queue};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::room::RoomId;
use crate::rooms::publish;
use crate::store::{NewMessage, Rule, SendSituation, Sent, Store};

/// Sends of one group at most: beyond it a transaction only takes longer.
const GROUP: usize = 128;

/// Decides whether somebody may send.
pub(crate) type SendRule = fn(&SendSituation) -> Result<()>;

/// What sends need.
#[derive(Debug)]
pub(crate) struct SendsConfig {
    /// Sends that wait at most; more are refused.
    pub(crate) max_waiting: usize,
    /// A send, and a group's transaction, fails after this time.
    pub(crate) timeout: Duration,
    /// Waits for the groups under way at the end.
    pub(crate) tasks: TaskTracker,
}

/// Stores and publishes messages. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sends {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    publisher: Publisher,
    /// Told when a notification waits in the outbox.
    outbox: Arc<Notify>,
    rule: SendRule,
    timeout: Duration,
    tasks: TaskTracker,
    metrics: Metrics,
    queue: Mutex<Queue<Waiting>>,
}

/// A send, and who waits for it.
#[derive(Debug)]
struct Waiting {
    new: NewMessage,
    deadline: Instant,
    answer: oneshot::Sender<Result<Sent>>,
}

impl Waiting {
    /// Nobody waits for it any longer.
    fn is_over(&self, now: Instant) -> bool {
        self.deadline <= now || self.answer.is_closed()
    }
}

impl Sends {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        publisher: Publisher,
        outbox: Arc<Notify>,
        rule: SendRule,
        config: SendsConfig,
        metrics: Metrics,
    ) -> Self {
        let limits = Limits {
            waiting: config.max_waiting,
            group: GROUP,
            groups: store.max_groups(),
        };
        Self {
            shared: Arc::new(Shared {
                store,
                publisher,
                outbox,
                rule,
                timeout: config.timeout,
                tasks: config.tasks,
                metrics,
                queue: Mutex::new(Queue::new(limits)),
            }),
        }
    }

    /// Stores a message together with others, and has it published. A send that nobody
    /// waits for any longer, because its deadline has passed or the call was given up,
    /// is not stored unless its group has begun.
    ///
    /// # Errors
    /// [`Error::Exhausted`]: too many wait. [`Error::Unavailable`]: the database failed,
    /// or time is up; it may have happened. The rule's, for this message alone.
    pub(crate) async fn send(&self, new: NewMessage, deadline: Option<Instant>) -> Result<Sent> {
        let shared = &self.shared;
        let latest = Instant::now() + shared.timeout;
        let deadline = deadline.map_or(latest, |deadline| deadline.min(latest));
        let (answer, answered) = oneshot::channel();
        let room = new.room.clone();
        let waiting = Waiting {
            new,
            deadline,
            answer,
        };
        let group = {
            let mut queue = shared.queue.lock();
            if queue.push(&room, waiting).is_err() {
                drop(queue);
                shared.metrics.sends_refused.inc();
                return Err(Error::Exhausted("too many messages are being sent".into()));
            }
            shared.begin(&mut queue)
        };
        if let Some(group) = group {
            shared.tasks.spawn(Arc::clone(shared).run(group));
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            // Its group's task has panicked.
            Ok(Err(_)) => Err(Error::Internal("a group of sends was lost".into())),
            Err(_) => Err(Error::Unavailable(
                "the message was not stored before its deadline".into(),
            )),
        }
    }
}

impl Shared {
    /// Stores a group, and those that gathered meanwhile, until none has.
    async fn run(self: Arc<Self>, group: Group<Waiting>) {
        let mut next = Some(group);
        while let Some(group) = next {
            let under_way = UnderWay {
                shared: &self,
                rooms: group.rooms,
            };
            self.store_group(group.sends).await;
            drop(under_way);
            next = self.begin(&mut self.queue.lock());
        }
    }

    fn begin(&self, queue: &mut Queue<Waiting>) -> Option<Group<Waiting>> {
        let group = queue.begin();
        let n_waiting = i64::try_from(queue.len()).unwrap_or(i64::MAX);
        self.metrics.sends_waiting.set(n_waiting);
        group
    }

    async fn store_group(&self, sends: Vec<Waiting>) {
        let now = Instant::now();
        let (over, sends): (Vec<_>, Vec<_>) = sends.into_iter().partition(|send| send.is_over(now));
        self.metrics.sends_expired.inc_by(over.len() as u64);
        drop(over);
        let Err(sends) = self.store_together(sends).await else {
            return;
        };
        // The database does not take one of them: which one shows when each goes alone.
        for send in sends {
            if !send.is_over(Instant::now()) {
                // Alone it has an answer in any case.
                let _ = self.store_together(vec![send]).await;
            }
        }
    }

    /// Stores sends in one transaction, publishes and answers. Gives them back when they
    /// failed for what may be the fault of one of them.
    async fn store_together(&self, sends: Vec<Waiting>) -> std::result::Result<(), Vec<Waiting>> {
        if sends.is_empty() {
            return Ok(());
        }
        self.metrics.groups.inc();
        self.metrics.sends_grouped.inc_by(sends.len() as u64);
        let (group, waiting): (Vec<_>, Vec<_>) = sends
            .into_iter()
            .map(|send| (send.new, (send.deadline, send.answer)))
            .unzip();
        let rule: Rule<'_, SendSituation, ()> = &self.rule;
        let results = match within(self.timeout, self.store.send(&group, rule)).await {
            Ok(results) => results,
            Err(Error::Internal(cause)) if group.len() > 1 => {
                tracing::debug!(error = %cause, "a group of sends failed: each goes alone");
                let sends = group.into_iter().zip(waiting);
                return Err(sends
                    .map(|(new, (deadline, answer))| Waiting {
                        new,
                        deadline,
                        answer,
                    })
                    .collect());
            }
            Err(error) => failures(&error, group.len()),
        };
        // All are handed over before anybody hears of them: who sends again then comes
        // after them.
        for sent in results.iter().flatten() {
            if let Some(appended) = &sent.appended {
                publish(&self.publisher, appended.clone());
            }
        }
        if results.iter().flatten().any(|sent| sent.notifies) {
            self.outbox.notify_one();
        }
        for ((_, answer), result) in waiting.into_iter().zip(results) {
            // Who waited may have gone.
            let _ = answer.send(result);
        }
        Ok(())
    }
}

/// Everybody's part in a transaction that failed.
fn failures(error: &Error, n_sends: usize) -> Vec<Result<Sent>> {
    let cause = match error {
        Error::Unavailable(cause) | Error::Internal(cause) => chain(&**cause),
        other => other.to_string(),
    };
    let is_unavailable = matches!(error, Error::Unavailable(_));
    let failure = || match is_unavailable {
        true => Error::Unavailable(cause.clone().into()),
        false => Error::Internal(cause.clone().into()),
    };
    (0..n_sends).map(|_| Err(failure())).collect()
}

/// Frees the rooms of a group when it ends, however it does.
struct UnderWay<'a> {
    shared: &'a Shared,
    rooms: Vec<RoomId>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let rooms = std::mem::take(&mut self.rooms);
        self.shared.queue.lock().end(rooms);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sends").finish_non_exhaustive()
    }
}

//! A connection for commands: publish, history, presence.
//!
//! Calls of all tasks of a runtime share it; what is issued at the same time goes
//! out in one write. A task of its own keeps the connection: it connects, asks for
//! signs of life and connects again, for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Script, Value, from_redis_value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::backoff::Backoff;
use super::connection::{Connection, Push};
use super::connector::{Connector, PING_INTERVAL, by, within};
use super::failure;
use super::scripts::Scripts;
use super::stats::Stats;
use super::{closed, late};
use crate::Result;
use crate::error::Error;

/// A connection that lived shorter than this was no success.
const STABLE: Duration = Duration::from_secs(5);

/// The handle; the connection's task is [`keep`].
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    link: watch::Receiver<Option<Link>>,
    stats: Arc<Stats>,
    io_timeout: Duration,
}

#[derive(Clone, Debug)]
struct Link {
    id: u64,
    connection: Connection,
}

/// What calls and the connection's task tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// Id of the newest link that somebody found broken.
    broken: AtomicU64,
    wake: Notify,
}

impl Shared {
    fn report_broken(&self, id: u64) {
        self.broken.fetch_max(id, Ordering::Relaxed);
        self.wake.notify_one();
    }
}

impl Publisher {
    /// The handle, and what must be spawned to keep its connection.
    pub(super) fn new(
        connector: Arc<Connector>,
        scripts: Arc<Scripts>,
        stats: Arc<Stats>,
        io_timeout: Duration,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared::default());
        let (sender, link) = watch::channel(None);
        let keeper = keep(
            connector,
            scripts,
            Arc::clone(&stats),
            Arc::clone(&shared),
            sender,
            io_timeout,
        );
        let publisher = Self {
            shared,
            link,
            stats,
            io_timeout,
        };
        (publisher, keeper)
    }

    pub(super) fn is_available(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let value = self
            .call(self.deadline(), async |connection, deadline| {
                connection.ask(command, deadline).await?.extract_error()
            })
            .await?;
        self.decoded(value)
    }

    /// Sends several commands at once and waits for all answers.
    pub(super) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        self.call(self.deadline(), async |mut connection, deadline| {
            by(deadline, pipeline.query_async(&mut connection)).await
        })
        .await
    }

    /// Runs a script. `command` is what [`evalsha`] began.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        command: &Cmd,
    ) -> Result<T> {
        self.script_until(self.deadline(), script, command).await
    }

    /// The same, with an answer by a deadline.
    pub(super) async fn script_until<T: FromRedisValue>(
        &self,
        deadline: Instant,
        script: &Script,
        command: &Cmd,
    ) -> Result<T> {
        let value = self
            .call(deadline, async |mut connection, deadline| {
                let answer = connection.ask(command, deadline).await?;
                match answer.extract_error() {
                    // They were loaded when the connection was made; somebody flushed.
                    Err(error) if failure::is_unknown_script(&error) => {
                        by(deadline, script.load_async(&mut connection)).await?;
                        connection.ask(command, deadline).await?.extract_error()
                    }
                    answer => answer,
                }
            })
            .await?;
        self.decoded(value)
    }

    fn decoded<T: FromRedisValue>(&self, value: Value) -> Result<T> {
        from_redis_value(value).map_err(|error| {
            Stats::count(&self.stats.errors);
            Error::Failed(Box::new(error))
        })
    }

    /// What a script caught, for the caller; seen to as if it had come by itself.
    pub(super) fn caught(&self, error: RedisError) -> Error {
        if failure::breaks_link(&error)
            && let Some(link) = &*self.link.borrow()
        {
            self.shared.report_broken(link.id);
        }
        Stats::count(&self.stats.errors);
        failure::translate(error)
    }

    /// When what is asked for now must be answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.io_timeout
    }

    async fn call<T>(
        &self,
        deadline: Instant,
        query: impl AsyncFnOnce(Connection, Instant) -> std::result::Result<T, RedisError>,
    ) -> Result<T> {
        let answer = match self.link(deadline).await {
            Ok(link) => match query(link.connection, deadline).await {
                Ok(answer) => Ok(answer),
                // The connection may be good: whether it is, its pings tell.
                Err(error) if error.is_timeout() => Err(late()),
                Err(error) => {
                    if failure::breaks_link(&error) {
                        self.shared.report_broken(link.id);
                    }
                    Err(failure::translate(error))
                }
            },
            Err(error) => Err(error),
        };
        if answer.is_err() {
            Stats::count(&self.stats.errors);
        }
        answer
    }

    /// The connection, as soon as there is one.
    async fn link(&self, deadline: Instant) -> Result<Link> {
        if let Some(link) = &*self.link.borrow() {
            return Ok(link.clone());
        }
        // Boxed: what is rare takes no room in what is not.
        Box::pin(async {
            let mut link = self.link.clone();
            let link = timeout_at(deadline, link.wait_for(Option::is_some)).await;
            let link = link.map_err(|_| late())?.map_err(|_| closed())?;
            Ok(link.clone().expect("it was waited for"))
        })
        .await
    }
}

/// Begins a command that runs a script with `n_keys` keys.
pub(super) fn evalsha(script: &Script, n_keys: usize) -> Cmd {
    evalsha_in(Cmd::new(), script, n_keys)
}

/// The same in an empty command, which has room for what follows.
pub(super) fn evalsha_in(mut command: Cmd, script: &Script, n_keys: usize) -> Cmd {
    command.arg("EVALSHA").arg(script.get_hash()).arg(n_keys);
    command
}

/// Keeps a connection, until it is dropped.
async fn keep(
    connector: Arc<Connector>,
    scripts: Arc<Scripts>,
    stats: Arc<Stats>,
    shared: Arc<Shared>,
    sender: watch::Sender<Option<Link>>,
    io_timeout: Duration,
) {
    let mut backoff = Backoff::new();
    for id in 1.. {
        let push = {
            let shared = Arc::clone(&shared);
            move |push: Push<'_>| {
                if let Push::Lost = push {
                    shared.report_broken(id);
                }
            }
        };
        let connected = async {
            let mut connection = connector.connect(push).await?;
            within(io_timeout, scripts.load().exec_async(&mut connection)).await?;
            Ok::<_, RedisError>(connection)
        };
        let since = Instant::now();
        let lost = match connected.await {
            Ok(connection) => {
                tracing::info!("connected to redis for commands");
                let link = Link { id, connection };
                sender.send_replace(Some(link.clone()));
                let lost = until_broken(&connector, &shared, link).await;
                sender.send_replace(None);
                if since.elapsed() > STABLE {
                    backoff.reset();
                }
                lost
            }
            Err(error) => error.to_string(),
        };
        let wait = backoff.next();
        tracing::warn!(error = lost, retry_in = ?wait, "no connection to redis for commands");
        sleep(wait).await;
        Stats::count(&stats.reconnects);
    }
}

/// Returns why the link is no longer good.
async fn until_broken(connector: &Connector, shared: &Shared, mut link: Link) -> String {
    loop {
        // A report may be about an earlier link.
        if shared.broken.load(Ordering::Relaxed) >= link.id {
            return "the connection broke".into();
        }
        if timeout(PING_INTERVAL, shared.wake.notified())
            .await
            .is_err()
            && let Err(error) = connector.ping(&mut link.connection).await
        {
            return error.to_string();
        }
    }
}

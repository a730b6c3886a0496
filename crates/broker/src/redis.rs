//! The broker of many nodes, over one Redis (or Valkey).
//!
//! Streams hold history, a hash each channel's position, pub/sub delivers. What
//! must happen together happens in one script. Commands go over one connection per
//! runtime ([`lane`], [`publisher`]), publications that wait together in one call
//! ([`publications`]); others' publications come over further connections
//! ([`subscriber`]).

mod advice;
mod backoff;
mod config;
mod connection;
mod connector;
mod envelope;
mod failure;
mod keys;
mod lane;
mod publications;
mod publisher;
mod resp;
mod scripts;
mod stats;
mod subscriber;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, Value, pipe};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use self::connector::Connector;
use self::keys::Keys;
use self::lane::{Lane, Lanes};
use self::publisher::{Publisher, evalsha};
use self::scripts::Scripts;
use self::subscriber::Subscriber;
use crate::error::Error;
use crate::history::new_epoch;
use crate::memory::{check_position, check_publish_at, unix_millis};
use crate::{
    Broker, ClientInfo, DEFAULT_META_TTL, EventHandler, History, HistoryRequest, IDEMPOTENCY_TTL,
    Position, PresenceStats, PublishRequest, Published, PublishedAt, Result,
};

pub use self::config::RedisConfig;
pub use self::stats::Stats;

/// Positions asked for in one pipeline.
const POSITIONS: usize = 2048;

/// A [`Broker`] over Redis 6.2 or newer, or Valkey.
///
/// It connects in the background and reconnects for ever; until there is a
/// connection, calls wait for it within their deadline. Its tasks end when it is
/// dropped.
pub struct RedisBroker {
    config: RedisConfig,
    node: String,
    keys: Keys,
    scripts: Arc<Scripts>,
    connector: Arc<Connector>,
    lanes: Lanes,
    subscribers: OnceLock<Box<[Arc<Subscriber>]>>,
    stats: Arc<Stats>,
    runtimes: Box<[Handle]>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl RedisBroker {
    /// A broker for who only publishes. Must be called within a tokio runtime, where its
    /// task will run.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the configuration makes no sense. That Redis is not
    /// there is no error.
    pub fn new(config: RedisConfig) -> Result<Self> {
        Self::for_node(config, "", &[Handle::current()])
    }

    /// A broker for a node, which gets the control messages sent to this name. Each of
    /// these runtimes has a connection for what is asked for there, and those for
    /// publications are spread over them: what the node publishes and what it delivers
    /// then wakes fewer threads. Calls made elsewhere go over the first one's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// If there is no runtime.
    pub fn for_node(
        config: RedisConfig,
        node: impl Into<String>,
        runtimes: &[Handle],
    ) -> Result<Self> {
        config.check()?;
        let stats = Arc::new(Stats::default());
        let scripts = Arc::new(Scripts::new());
        let connector = Arc::new(Connector::new(&config)?);
        let keys = Keys::new(&config.prefix);
        let lanes = Lanes::new(runtimes, |runtime| {
            let io_timeout = config.io_timeout;
            Lane::new(runtime, &keys, &scripts, &connector, &stats, io_timeout)
        });
        Ok(Self {
            keys,
            node: node.into(),
            config,
            scripts,
            connector,
            lanes,
            subscribers: OnceLock::new(),
            stats,
            runtimes: runtimes.into(),
            tasks: Mutex::default(),
        })
    }

    /// What it did so far, for metrics.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What an operator should change about this Redis; empty if all is well.
    /// Settings that the user may not read are passed over.
    pub async fn advise(&self) -> Vec<String> {
        advice::advise(self.publisher()).await
    }

    /// The connection for commands that are asked for here.
    fn publisher(&self) -> &Publisher {
        &self.lanes.here().publisher
    }

    fn subscriber(&self, channel: &str) -> Result<&Subscriber> {
        let not_running = || Error::Invalid("the broker does not run yet".into());
        let subscribers = self.subscribers.get().ok_or_else(not_running)?;
        // Any stable hash will do: it only must not change while the process runs.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(channel);
        let n = subscribers.len() as u64;
        let index = usize::try_from(hash % n).expect("a remainder of a usize fits");
        Ok(&subscribers[index])
    }

    /// Sends bytes to whoever is subscribed to a pub/sub channel.
    async fn send(&self, name: &str, message: &[u8]) -> Result<()> {
        let mut command = Cmd::with_capacity(3, 16 + name.len() + message.len());
        command.arg("PUBLISH").arg(name).arg(message);
        self.publisher().command::<i64>(&command).await?;
        Stats::count(&self.stats.publishes);
        Ok(())
    }

    async fn publish_once(
        &self,
        channel: &str,
        key: &str,
        request: PublishRequest,
    ) -> Result<Published> {
        let mut command = evalsha(&self.scripts.publish_once, 1);
        command
            .arg(self.keys.idempotency(channel, key))
            .arg(self.keys.publications(channel))
            .arg(envelope::encode_publication(request, unix_millis()))
            .arg(millis(IDEMPOTENCY_TTL));
        let answer = self
            .publisher()
            .script(&self.scripts.publish_once, &command);
        let suppressed: bool = answer.await?;
        if !suppressed {
            Stats::count(&self.stats.publishes);
        }
        Ok(Published {
            position: None,
            suppressed,
        })
    }

    fn presence_command(&self, script: &redis::Script, channel: &str) -> Cmd {
        let keys = self.keys.presence(channel);
        let mut command = evalsha(script, keys.len());
        command.arg(&keys);
        command
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        for task in self.tasks.get_mut() {
            task.abort();
        }
    }
}

impl std::fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBroker")
            .field("config", &self.config)
            .field("node", &self.node)
            .field("available", &self.is_available())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RedisBroker {
    /// Returns when the subscriptions for control messages are in force, or after
    /// `io_timeout` if Redis is not there yet: the tasks go on trying.
    async fn run(&self, handler: Arc<dyn EventHandler>) -> Result<()> {
        let subscriber = |index: usize| {
            // One of them also gets the control messages.
            let control = match index {
                0 if self.node.is_empty() => vec![self.keys.control()],
                0 => vec![self.keys.control(), self.keys.node(&self.node)],
                _ => Vec::new(),
            };
            Arc::new(Subscriber::new(
                self.keys.clone(),
                control,
                Arc::clone(&self.stats),
                Arc::clone(&handler),
                self.config.io_timeout,
            ))
        };
        let subscribers: Box<[_]> = (0..self.config.subscriber_connections)
            .map(subscriber)
            .collect();
        let running = || Error::Invalid("the broker runs already".into());
        self.subscribers.set(subscribers).map_err(|_| running())?;
        let subscribers = self.subscribers.get().expect("it was just set");
        let runtimes = self.runtimes.iter().cycle();
        for (subscriber, runtime) in subscribers.iter().zip(runtimes) {
            let task = Arc::clone(subscriber).run(Arc::clone(&self.connector));
            self.tasks.lock().push(runtime.spawn(task).abort_handle());
        }
        let available = async {
            for subscriber in subscribers {
                subscriber.available().await;
            }
        };
        let waited = tokio::time::timeout(self.config.io_timeout, available).await;
        if waited.is_err() {
            tracing::warn!("redis is not available yet; going on without it for now");
        }
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<()> {
        self.subscriber(channel)?.subscribe(channel).await
    }

    async fn unsubscribe(&self, channel: &str) -> Result<()> {
        self.subscriber(channel)?.unsubscribe(channel);
        Ok(())
    }

    async fn publish(&self, channel: &str, mut request: PublishRequest) -> Result<Published> {
        if let Some(policy) = request.history {
            let publications = &self.lanes.here().publications;
            let answer = publications.begin(channel, policy, request)?;
            return publications.answered(answer).await;
        }
        if let Some(key) = request.idempotency_key.take() {
            // Boxed: what is rare takes no room in what is not.
            return Box::pin(self.publish_once(channel, &key, request)).await;
        }
        let message = envelope::encode_message(request, unix_millis());
        self.send(&self.keys.publications(channel), &message)
            .await?;
        Ok(Published {
            position: None,
            suppressed: false,
        })
    }

    async fn publish_at(
        &self,
        channel: &str,
        position: &Position,
        request: PublishRequest,
    ) -> Result<PublishedAt> {
        let policy = check_publish_at(position, &request)?;
        let mut command = evalsha(&self.scripts.publish_at, 2);
        command
            .arg(self.keys.history(channel))
            .arg(self.keys.meta(channel))
            .arg(self.keys.publications(channel))
            .arg(envelope::encode_publication(request, unix_millis()))
            .arg(policy.size)
            .arg(millis(policy.ttl))
            .arg(millis(meta_ttl(policy.meta_ttl).max(policy.ttl)))
            .arg(&*position.epoch)
            .arg(position.offset);
        let answer = self.publisher().script(&self.scripts.publish_at, &command);
        let answer: Vec<String> = answer.await?;
        let mut answer = answer.iter().map(String::as_str);
        match (answer.next(), answer.next().map(str::parse)) {
            (Some("appended"), None) => {
                Stats::count(&self.stats.publishes);
                Ok(PublishedAt::Appended)
            }
            (Some("there"), None) => Ok(PublishedAt::AlreadyThere),
            (Some("gap"), Some(Ok(top))) => Ok(PublishedAt::Gap { top }),
            _ => Err(not_understood()),
        }
    }

    async fn anchor(&self, channel: &str, position: &Position, ttl: Duration) -> Result<Position> {
        check_position(position)?;
        let mut command = evalsha(&self.scripts.anchor, 2);
        command
            .arg(self.keys.history(channel))
            .arg(self.keys.meta(channel))
            .arg(&*position.epoch)
            .arg(position.offset)
            .arg(millis(meta_ttl(ttl)));
        let offset = self.publisher().script(&self.scripts.anchor, &command);
        Ok(Position {
            epoch: Arc::clone(&position.epoch),
            offset: offset.await?,
        })
    }

    async fn history(&self, channel: &str, request: HistoryRequest) -> Result<History> {
        let (order, from, to) = match (request.limit, request.reverse, request.since) {
            (Some(0), _, _) | (_, true, Some(0)) | (_, false, Some(u64::MAX)) => {
                ("", String::new(), String::new())
            }
            (_, false, since) => {
                let from = since.map_or("-".to_owned(), |since| (since + 1).to_string());
                ("xrange", from, "+".to_owned())
            }
            (_, true, since) => {
                let from = since.map_or("+".to_owned(), |since| (since - 1).to_string());
                ("xrevrange", from, "-".to_owned())
            }
        };
        let mut command = evalsha(&self.scripts.history, 2);
        command
            .arg(self.keys.history(channel))
            .arg(self.keys.meta(channel))
            .arg(&*new_epoch())
            .arg(millis(meta_ttl(request.meta_ttl)))
            .arg(order)
            .arg(from)
            .arg(to)
            .arg(request.limit.map(|n| n.to_string()).unwrap_or_default());
        let answer = self.publisher().script(&self.scripts.history, &command);
        decode_history(answer.await?).ok_or_else(not_understood)
    }

    async fn positions(&self, channels: &[Arc<str>]) -> Result<Vec<Option<Position>>> {
        let mut positions = Vec::with_capacity(channels.len());
        for channels in channels.chunks(POSITIONS) {
            let mut commands = pipe();
            for channel in channels {
                let meta = self.keys.meta(channel);
                commands.cmd("HMGET").arg(meta).arg(&["e", "s"]);
            }
            let answer: Vec<Vec<Option<String>>> = self.publisher().pipeline(&commands).await?;
            for fields in answer {
                let position = match fields.as_slice() {
                    [None, _] => None,
                    [Some(epoch), top] => {
                        let offset = top.as_deref().unwrap_or("0").parse();
                        Some(Position {
                            epoch: epoch.as_str().into(),
                            offset: offset.map_err(|_| not_understood())?,
                        })
                    }
                    _ => return Err(not_understood()),
                };
                positions.push(position);
            }
        }
        if positions.len() != channels.len() {
            return Err(not_understood());
        }
        Ok(positions)
    }

    async fn remove_history(&self, channel: &str) -> Result<()> {
        let mut command = redis::cmd("DEL");
        command.arg(self.keys.history(channel));
        self.publisher().command(&command).await
    }

    async fn publish_membership(
        &self,
        channel: &str,
        joined: bool,
        info: &ClientInfo,
    ) -> Result<()> {
        let message = envelope::encode_membership(joined, info);
        self.send(&self.keys.publications(channel), &message).await
    }

    async fn add_presence(&self, channel: &str, info: &ClientInfo, ttl: Duration) -> Result<()> {
        let script = &self.scripts.presence_add;
        let mut command = self.presence_command(script, channel);
        command
            .arg(&info.client)
            .arg(&info.user)
            .arg(envelope::encode_info(info))
            .arg(millis(ttl));
        self.publisher().script(script, &command).await
    }

    async fn remove_presence(&self, channel: &str, client: &str, _user: &str) -> Result<()> {
        let script = &self.scripts.presence_remove;
        let mut command = self.presence_command(script, channel);
        command.arg(client);
        self.publisher().script(script, &command).await
    }

    async fn presence(&self, channel: &str) -> Result<Vec<ClientInfo>> {
        let script = &self.scripts.presence_get;
        let command = self.presence_command(script, channel);
        let infos: Vec<Vec<u8>> = self.publisher().script(script, &command).await?;
        let infos = infos.into_iter().map(Bytes::from);
        let infos: Option<Vec<_>> = infos.map(envelope::decode_info).collect();
        infos.ok_or_else(not_understood)
    }

    async fn presence_stats(&self, channel: &str) -> Result<PresenceStats> {
        let script = &self.scripts.presence_stats;
        let command = self.presence_command(script, channel);
        let (num_clients, num_users) = self.publisher().script(script, &command).await?;
        Ok(PresenceStats {
            num_clients,
            num_users,
        })
    }

    async fn publish_control(&self, node: Option<&str>, message: Bytes) -> Result<()> {
        let name = match node {
            Some(node) => self.keys.node(node),
            None => self.keys.control(),
        };
        self.send(&name, &message).await
    }

    fn is_available(&self) -> bool {
        let subscribers = self.subscribers.get().map_or(&[][..], |s| s);
        self.lanes.are_available() && subscribers.iter().all(|s| s.is_available())
    }
}

/// What `history.lua` returns: `[epoch, top, [[id, [field, envelope]], …]]`.
fn decode_history(answer: Value) -> Option<History> {
    let mut answer = array(answer)?;
    let epoch = bytes(answer.next()?)?;
    let top = bytes(answer.next()?)?;
    let mut history = History {
        publications: Vec::new(),
        position: Position {
            epoch: std::str::from_utf8(&epoch).ok()?.into(),
            offset: std::str::from_utf8(&top).ok()?.parse().ok()?,
        },
    };
    for entry in array(answer.next()?)? {
        let mut entry = array(entry)?;
        let id = bytes(entry.next()?)?;
        let (offset, _) = std::str::from_utf8(&id).ok()?.split_once('-')?;
        let envelope = bytes(array(entry.next()?)?.nth(1)?)?;
        let envelope::Content::Publication(mut publication) = envelope::decode(envelope)? else {
            return None;
        };
        publication.offset = offset.parse().ok()?;
        history.publications.push(publication);
    }
    Some(history)
}

fn array(value: Value) -> Option<std::vec::IntoIter<Value>> {
    match value {
        Value::Array(values) => Some(values.into_iter()),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

fn late() -> Error {
    Error::Unavailable("redis did not answer in time".into())
}

fn closed() -> Error {
    Error::Unavailable("the broker is closed".into())
}

fn not_understood() -> Error {
    Error::Failed("the answer of redis was not understood".into())
}

fn meta_ttl(ttl: Duration) -> Duration {
    if ttl.is_zero() { DEFAULT_META_TTL } else { ttl }
}

/// Redis takes an expiry of at least one millisecond, and no absurd ones.
fn millis(duration: Duration) -> u64 {
    const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    u64::try_from(duration.as_millis()).map_or(LONGEST, |n| n.clamp(1, LONGEST))
}

//! Reads what follows a position: from the broker's hot history, and for anchored
//! channels, whose truth is a service's log, from the service where the broker
//! does not have it. Equal reads at the same time are made once.

use std::sync::Arc;

use broker::{History, HistoryRequest, Position};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Node;
use crate::namespaces::Namespace;
use crate::recovery::is_gapless;

/// The most that is read for one anchored channel at once. A client that missed
/// more loads the room afresh.
const LOG_LIMIT: usize = 5_000;
/// Asked of a service in one call.
const LOG_PAGE: u32 = 500;

/// A read that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The broker or the service did not answer in time.
    #[error("history is not available: {0}")]
    Unavailable(String),
}

/// Which part of a history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// Only where it stands.
    Top,
    /// What follows an offset of an epoch (empty: any), up to a limit.
    After {
        /// The epoch that the offset belongs to.
        position: Position,
        /// At most so many.
        limit: u32,
    },
    /// The newest one.
    Newest,
}

type Read = Shared<BoxFuture<'static, Result<Arc<History>, ReadError>>>;

/// Reads under way.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    flights: Mutex<HashMap<(Arc<str>, Part), Read>>,
}

impl Node {
    /// Reads a part of a channel's history, or joins a read of the same part that
    /// is under way.
    pub(crate) async fn read(
        &self,
        channel: &Arc<str>,
        namespace: &Arc<Namespace>,
        part: Part,
    ) -> Result<Arc<History>, ReadError> {
        let key = (Arc::clone(channel), part);
        let (read, mine) = {
            let mut flights = self.reader.flights.lock();
            match flights.get(&key) {
                Some(read) => (read.clone(), false),
                None => {
                    let node = self.me();
                    let namespace = Arc::clone(namespace);
                    let (channel, part) = key.clone();
                    let read = async move {
                        node.read_now(&channel, &namespace, &part)
                            .await
                            .map(Arc::new)
                    };
                    let read = read.boxed().shared();
                    flights.insert(key.clone(), read.clone());
                    (read, true)
                }
            }
        };
        let result = read.await;
        if mine {
            self.reader.flights.lock().remove(&key);
        }
        result
    }

    /// Reads history as a client or a backend asks for it: from the broker, or from
    /// the log of an anchored channel that the broker does not know.
    pub(crate) async fn history(
        &self,
        channel: &str,
        namespace: &Namespace,
        request: HistoryRequest,
    ) -> Result<History, ReadError> {
        if let Some(service) = &namespace.service
            && self.hot_top(&channel.into()).await?.is_none()
        {
            return self.history_of_log(service, channel, &request).await;
        }
        let read = self.broker.history(channel, request).await;
        read.map_err(|error| self.unavailable(&error))
    }

    async fn history_of_log(
        &self,
        service: &str,
        channel: &str,
        request: &HistoryRequest,
    ) -> Result<History, ReadError> {
        let limit = request.limit.unwrap_or(LOG_PAGE).min(LOG_PAGE);
        if !request.reverse {
            let since = if limit == 0 {
                u64::MAX
            } else {
                request.since.unwrap_or(0)
            };
            return self.services.read_log(service, channel, since, limit).await;
        }
        let top = self
            .services
            .read_log(service, channel, u64::MAX, 0)
            .await?
            .position;
        let end = request.since.unwrap_or(top.offset + 1).min(top.offset + 1);
        let since = end.saturating_sub(u64::from(limit) + 1);
        let mut history = self
            .services
            .read_log(service, channel, since, limit)
            .await?;
        history.publications.retain(|one| one.offset < end);
        history.publications.reverse();
        Ok(history)
    }

    async fn read_now(
        &self,
        channel: &Arc<str>,
        namespace: &Namespace,
        part: &Part,
    ) -> Result<History, ReadError> {
        let Some(service) = &namespace.service else {
            return self.read_broker(channel, namespace, part).await;
        };
        if let Some(top) = self.hot_top(channel).await?
            && (*part == Part::Top || part.follows(&top))
        {
            let history = self.read_broker(channel, namespace, part).await?;
            if part.is_complete(&history) {
                return Ok(history);
            }
        }
        self.read_log(service, channel, part).await
    }

    /// Where an anchored channel stands at the broker. `None`: the broker does not
    /// know it, or less of it than has been delivered here, as when it was emptied
    /// and is being filled again; the log has it all.
    ///
    /// Asked before a history is read: reading would give a channel that the broker
    /// does not know an epoch of its own; an anchored channel's epoch is the log's.
    async fn hot_top(&self, channel: &Arc<str>) -> Result<Option<Position>, ReadError> {
        // Before the broker is asked: what comes in between is not its lag.
        let delivered = self.hub.channel(channel).and_then(|one| one.baseline());
        let tops = self.broker.positions(std::slice::from_ref(channel)).await;
        let tops = tops.map_err(|error| self.unavailable(&error))?;
        let top = tops.into_iter().next().flatten();
        Ok(top.filter(|top| {
            delivered.is_none_or(|at| at.epoch != top.epoch || at.offset <= top.offset)
        }))
    }

    async fn read_broker(
        &self,
        channel: &str,
        namespace: &Namespace,
        part: &Part,
    ) -> Result<History, ReadError> {
        let request = HistoryRequest {
            since: match part {
                Part::After { position, .. } => Some(position.offset),
                Part::Top | Part::Newest => None,
            },
            limit: Some(match part {
                Part::Top => 0,
                Part::Newest => 1,
                Part::After { limit, .. } => *limit,
            }),
            reverse: *part == Part::Newest,
            meta_ttl: namespace.meta_ttl,
        };
        self.broker
            .history(channel, request)
            .await
            .map_err(|error| self.unavailable(&error))
    }

    fn unavailable(&self, error: &broker::Error) -> ReadError {
        self.metrics.broker_errors.inc();
        ReadError::Unavailable(error.to_string())
    }

    async fn read_log(
        &self,
        service: &str,
        channel: &str,
        part: &Part,
    ) -> Result<History, ReadError> {
        let page = |since: u64, limit: u32| self.services.read_log(service, channel, since, limit);
        match part {
            Part::Top => page(u64::MAX, 0).await,
            Part::Newest => {
                let top = page(u64::MAX, 0).await?.position;
                page(top.offset.saturating_sub(1), 1).await
            }
            Part::After { position, .. } => {
                let mut history = page(position.offset, LOG_PAGE).await?;
                let mut complete = part.is_complete(&history);
                while !complete && history.publications.len() < LOG_LIMIT {
                    let Some(last) = history.publications.last().map(|last| last.offset) else {
                        break;
                    };
                    let more = page(last, LOG_PAGE).await?;
                    if more.publications.is_empty() || more.position.epoch != history.position.epoch
                    {
                        break;
                    }
                    history.position = more.position;
                    history.publications.extend(more.publications);
                    complete = part.is_complete(&history);
                }
                Ok(history)
            }
        }
    }
}

impl Part {
    /// Whether the part lies in the history that ends at `top`.
    fn follows(&self, top: &Position) -> bool {
        match self {
            Self::Top | Self::Newest => true,
            Self::After { position, .. } => {
                position.offset <= top.offset
                    && (position.epoch.is_empty() || position.epoch == top.epoch)
            }
        }
    }

    /// Whether what was read is all there is of the part.
    fn is_complete(&self, history: &History) -> bool {
        let (first, last) = (history.publications.first(), history.publications.last());
        match (self, first, last) {
            (Self::Top, ..) => true,
            (Self::Newest, Some(newest), _) => newest.offset == history.position.offset,
            (Self::After { position, .. }, Some(first), Some(last)) => {
                first.offset == position.offset + 1
                    && last.offset == history.position.offset
                    && is_gapless(&history.publications)
            }
            (Self::After { position, .. }, ..) => position.offset == history.position.offset,
            (Self::Newest, None, _) => history.position.offset == 0,
        }
    }
}

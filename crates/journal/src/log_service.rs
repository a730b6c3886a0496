//! `fanfare.log.v1.LogService` on top of a [`Journal`]: a service adds only who may
//! subscribe.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proto::log::v1::log_service_server::LogService;
use proto::log::v1::{
    AuthorizeSubscribeRequest, AuthorizeSubscribeResponse, LogPublication, ReadLogRequest,
    ReadLogResponse,
};
use tonic::{Request, Response, Status};

use crate::{Error, Event, Journal};

/// Events in one answer at most.
const MAX_EVENTS: u32 = 1_000;
/// An answer ends before it outgrows a gRPC message (4 MiB), yet holds one event.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Decides who may subscribe to a service's channels.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// The bytes to show as `chan_info` (may be empty) if the user may subscribe.
    /// `PERMISSION_DENIED` and `NOT_FOUND` mean no, `UNAVAILABLE` ask again.
    async fn authorize(&self, channel: &str, user: &str) -> Result<Bytes, Status>;
}

/// The log service of a journal.
#[derive(Debug)]
pub struct Logs<A> {
    journal: Arc<dyn Journal>,
    authorizer: A,
}

impl<A: Authorizer> Logs<A> {
    /// Serves the logs in `journal` to whom `authorizer` allows. Only gateways may
    /// reach it: reading a log asks for nobody's permission.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, authorizer: A) -> Self {
        Self {
            journal,
            authorizer,
        }
    }
}

#[async_trait]
impl<A: Authorizer> LogService for Logs<A> {
    async fn authorize_subscribe(
        &self,
        request: Request<AuthorizeSubscribeRequest>,
    ) -> Result<Response<AuthorizeSubscribeResponse>, Status> {
        let request = request.into_inner();
        let info = self
            .authorizer
            .authorize(&request.channel, &request.user)
            .await?;
        Ok(Response::new(AuthorizeSubscribeResponse { info }))
    }

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<ReadLogResponse>, Status> {
        read_log(&*self.journal, &request.into_inner())
            .await
            .map(Response::new)
    }
}

/// Answers `ReadLog`. A channel without a log is given an empty one.
pub async fn read_log(
    journal: &dyn Journal,
    request: &ReadLogRequest,
) -> Result<ReadLogResponse, Status> {
    // Its epoch is the position to recover from before the first event.
    let log = journal.open(&request.channel).await.map_err(unavailable)?;
    let (epoch, top_offset) = (log.epoch, log.top);
    if !request.epoch.is_empty() && request.epoch != *epoch {
        return Err(Status::failed_precondition("the epoch is not the log's"));
    }
    let limit = match request.limit {
        0 => MAX_EVENTS,
        limit => limit.min(MAX_EVENTS),
    };
    let events = if request.since_offset < top_offset {
        journal
            .read(&request.channel, request.since_offset, limit)
            .await
            .map_err(unavailable)?
    } else {
        Vec::new()
    };
    Ok(ReadLogResponse {
        epoch: epoch.as_ref().to_owned(),
        // Events may have been appended in between.
        top_offset: events
            .last()
            .map_or(top_offset, |event| event.offset.max(top_offset)),
        publications: within_bytes(events).map(publication).collect(),
    })
}

fn within_bytes(events: Vec<Event>) -> impl Iterator<Item = Event> {
    let mut n_bytes = 0;
    events
        .into_iter()
        .enumerate()
        .take_while(move |(index, event)| {
            n_bytes += event.data.len();
            *index == 0 || n_bytes <= MAX_BYTES
        })
        .map(|(_, event)| event)
}

fn publication(event: Event) -> LogPublication {
    LogPublication {
        offset: event.offset,
        data: event.data,
        tags: event.tags.into_iter().collect(),
        time_ms: event.time_ms,
        ends_user: event
            .ends_user
            .map_or_else(String::new, |user| user.as_ref().to_owned()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn unavailable(error: Error) -> Status {
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "the log could not be read"
    );
    Status::unavailable("the log cannot be read at the moment")
}

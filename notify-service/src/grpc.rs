//! Translates between `fanfare.notify.v1` and ours. No rules here.

use async_trait::async_trait;
use bytes::Bytes;
use journal::Authorizer;
use proto::notify::v1 as pb;
use proto::notify::v1::notify_service_server::NotifyService;
use runtime::grpc::{Caller, USER};
use service::{Timestamp, json};
use tonic::{Request, Response, Status};

use crate::error::{Error, Result};
use crate::inbox::{Counts, Mark};
use crate::inboxes::{Inboxes, cursor};
use crate::notification::{Content, IdempotencyKey, Notification};
use crate::notifications::{Notifications, Outcome};
use crate::store::Filter;
use crate::user::UserId;

/// The service as gRPC sees it.
#[derive(Clone, Debug)]
pub struct Grpc {
    notifications: Notifications,
    inboxes: Inboxes,
}

impl Grpc {
    /// Answers calls out of these.
    #[must_use]
    pub fn new(notifications: Notifications, inboxes: Inboxes) -> Self {
        Self {
            notifications,
            inboxes,
        }
    }
}

type Answer<T> = std::result::Result<Response<T>, Status>;

#[async_trait]
impl NotifyService for Grpc {
    async fn notify(&self, request: Request<pb::NotifyRequest>) -> Answer<pb::NotifyResponse> {
        require_service(&request)?;
        let request = request.into_inner();
        let content = Content {
            category: request.category,
            title: request.title,
            body: request.body,
            link: request.link,
            actor: request.actor,
            data: request
                .data
                .map(json::to_json)
                .transpose()
                .map_err(|error| Error::invalid(format!("data {error}")))?,
        };
        let key = IdempotencyKey::parse(request.idempotency_key)?;
        let outcomes = self
            .notifications
            .notify(&request.users, content, key)
            .await?;
        Ok(Response::new(pb::NotifyResponse {
            results: outcomes.into_iter().map(Into::into).collect(),
        }))
    }

    async fn list_inbox(
        &self,
        request: Request<pb::ListInboxRequest>,
    ) -> Answer<pb::ListInboxResponse> {
        let user = user(&request)?;
        let request = request.into_inner();
        let filter = filter(request.unread_only, request.archived)?;
        let page = self
            .inboxes
            .list(&user, request.limit, &request.cursor, filter)
            .await?;
        Ok(Response::new(pb::ListInboxResponse {
            next_cursor: cursor(&page),
            counts: Some(page.counts.into()),
            channel: user.channel(),
            epoch: page.epoch.as_ref().to_owned(),
            offset: page.counts.version,
            notifications: page
                .notifications
                .into_iter()
                .map(notification)
                .collect::<Result<_>>()?,
        }))
    }

    async fn get_counts(
        &self,
        request: Request<pb::GetCountsRequest>,
    ) -> Answer<pb::GetCountsResponse> {
        let counts = self.inboxes.counts(&user(&request)?).await?;
        Ok(Response::new(pb::GetCountsResponse {
            counts: Some(counts.into()),
        }))
    }

    async fn mark_seen(
        &self,
        request: Request<pb::MarkSeenRequest>,
    ) -> Answer<pb::MarkSeenResponse> {
        let user = user(&request)?;
        let ids = request.into_inner().ids;
        let counts = self.inboxes.mark(&user, &ids, Mark::Seen).await?;
        Ok(Response::new(pb::MarkSeenResponse {
            counts: Some(counts.into()),
        }))
    }

    async fn mark_read(
        &self,
        request: Request<pb::MarkReadRequest>,
    ) -> Answer<pb::MarkReadResponse> {
        let user = user(&request)?;
        let request = request.into_inner();
        let mark = if request.unread {
            Mark::Unread
        } else {
            Mark::Read
        };
        let counts = self.inboxes.mark(&user, &request.ids, mark).await?;
        Ok(Response::new(pb::MarkReadResponse {
            counts: Some(counts.into()),
        }))
    }

    async fn mark_all_read(
        &self,
        request: Request<pb::MarkAllReadRequest>,
    ) -> Answer<pb::MarkAllReadResponse> {
        let counts = self.inboxes.mark_all_read(&user(&request)?).await?;
        Ok(Response::new(pb::MarkAllReadResponse {
            counts: Some(counts.into()),
        }))
    }

    async fn archive(&self, request: Request<pb::ArchiveRequest>) -> Answer<pb::ArchiveResponse> {
        let user = user(&request)?;
        let ids = request.into_inner().ids;
        let counts = self.inboxes.mark(&user, &ids, Mark::Archived).await?;
        Ok(Response::new(pb::ArchiveResponse {
            counts: Some(counts.into()),
        }))
    }
}

/// Lets users subscribe to their own inboxes.
#[derive(Clone, Debug)]
pub struct InboxAuthorizer(pub Inboxes);

#[async_trait]
impl Authorizer for InboxAuthorizer {
    async fn authorize(&self, channel: &str, user: &str) -> std::result::Result<Bytes, Status> {
        self.0.authorize_subscribe(channel, user).await?;
        Ok(Bytes::new())
    }
}

/// The user for whom a call is made.
fn user<T>(request: &Request<T>) -> std::result::Result<UserId, Status> {
    Ok(UserId::parse(Caller::of(request).require_user()?)?)
}

/// Refuses calls made for a user. Metadata that names an empty user is a client's
/// too: an anonymous one's.
fn require_service<T>(request: &Request<T>) -> Result<()> {
    if request.metadata().contains_key(USER) {
        return Err(Error::Denied("only services may notify users".into()));
    }
    if !Caller::of(request).is_service() {
        return Err(Error::Unauthenticated(
            "metadata fanfare-service is missing".into(),
        ));
    }
    Ok(())
}

fn filter(unread_only: bool, archived: bool) -> Result<Filter> {
    match (unread_only, archived) {
        (false, false) => Ok(Filter::Inbox),
        (true, false) => Ok(Filter::Unread),
        (false, true) => Ok(Filter::Archived),
        (true, true) => Err(Error::invalid(
            "unread_only and archived exclude each other: what is archived counts as neither",
        )),
    }
}

fn notification(notification: Notification) -> Result<pb::Notification> {
    let content = &*notification.content;
    let time = |at: Option<Timestamp>| at.map(Into::into);
    Ok(pb::Notification {
        id: notification.id,
        user: notification.user.to_string(),
        category: content.category.clone(),
        title: content.title.clone(),
        body: content.body.clone(),
        link: content.link.clone(),
        actor: content.actor.clone(),
        data: content
            .data
            .as_deref()
            .map(json::from_json)
            .transpose()
            .map_err(|error| Error::Internal(error.into()))?,
        created_at: Some(notification.created_at.into()),
        seen_at: time(notification.marks.seen_at),
        read_at: time(notification.marks.read_at),
        archived_at: time(notification.marks.archived_at),
    })
}

impl From<Counts> for pb::Counts {
    fn from(counts: Counts) -> Self {
        Self {
            unread: counts.unread,
            unseen: counts.unseen,
            version: counts.version,
        }
    }
}

impl From<Outcome> for pb::notify_response::Result {
    fn from(outcome: Outcome) -> Self {
        Self {
            user: outcome.user.to_string(),
            notification_id: outcome.notification_id,
            duplicate: outcome.duplicate,
        }
    }
}

//! `publish`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use broker::{PublishRequest as BrokerRequest, Published};
use wire::{Disconnect, ErrorCode, PublishRequest, PublishResult, ReplyBody};

use super::{Answer, Failure, Session};
use crate::config::PublicationDataFormat;
use crate::metrics::Method;

/// Publications of one client on their way to the broker at a time.
const AT_A_TIME: usize = 64;

/// The publications of one client that the broker has not answered yet, in order.
///
/// A client that sends several at once need not wait for each; the broker takes them
/// in the order in which they were begun.
#[derive(Default)]
pub(super) struct Publishing(VecDeque<OnItsWay>);

struct OnItsWay {
    id: u32,
    began: Instant,
    publication: Begun,
}

/// What became of a publication at once.
pub(super) enum Begun {
    Done(broker::Result<Published>),
    Waits(Pin<Box<dyn Future<Output = broker::Result<Published>> + Send>>),
}

impl Publishing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= AT_A_TIME
    }
}

impl Session {
    /// Publishes and waits for the broker.
    pub(super) async fn publish(&mut self, request: PublishRequest) -> Answer {
        let published = match self.begin_publish(request).await? {
            Begun::Done(published) => published,
            Begun::Waits(publication) => publication.await,
        };
        self.published(published)
    }

    /// Checks a publication and hands it to the broker, without waiting for it.
    pub(super) async fn begin_publish(&self, request: PublishRequest) -> Result<Begun, Failure> {
        let channel = request.channel;
        if channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let (_, namespace) = self.node.namespaces.check(&channel)?;
        // 1: a key of a map, which no channel offers here.
        if request.r#type != 0
            || !is_allowed(namespace.options.publication_data_format, &request.data)
        {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let subscribed = self.subscriptions.contains(&channel);
        // An anchored channel's publications come from its log alone.
        let may = namespace.service.is_none()
            && (namespace.may_publish(&self.user, subscribed) || self.node.config.client.insecure);
        if !may {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        let request = BrokerRequest {
            info: Some(self.publisher_info(&channel)),
            data: request.data,
            history: namespace.history,
            traceparent: runtime::trace::current_traceparent().map(Into::into),
            ..BrokerRequest::default()
        };
        let node = Arc::clone(&self.node);
        let mut publication = Box::pin(async move { node.broker.publish(&channel, request).await });
        let first = poll_fn(|cx| Poll::Ready(publication.as_mut().poll(cx)));
        Ok(match first.await {
            Poll::Ready(published) => Begun::Done(published),
            Poll::Pending => Begun::Waits(publication),
        })
    }

    /// Answers a publication, if it need not wait for the broker or for others.
    pub(super) fn on_begun(
        &mut self,
        id: u32,
        began: Instant,
        begun: Begun,
        publishing: &mut Publishing,
    ) {
        match begun {
            Begun::Done(published) if publishing.is_empty() => {
                let answer = self.published(published);
                self.answer(id, Method::Publish, began, answer.map(Some));
            }
            publication => publishing.0.push_back(OnItsWay {
                id,
                began,
                publication,
            }),
        }
    }

    /// Waits for all publications that are on their way, and answers them.
    pub(super) async fn settle(&mut self, publishing: &mut Publishing) {
        while let Some(one) = publishing.0.pop_front() {
            let published = match one.publication {
                Begun::Done(published) => published,
                Begun::Waits(publication) => publication.await,
            };
            let answer = self.published(published);
            self.answer(one.id, Method::Publish, one.began, answer.map(Some));
        }
    }

    fn published(&self, published: broker::Result<Published>) -> Answer {
        match published {
            Ok(_) => Ok(ReplyBody::Publish(PublishResult {})),
            Err(error) => Err(self.broker_failure(&error)),
        }
    }
}

/// Whether a payload is what the namespace takes.
pub(crate) fn is_allowed(format: PublicationDataFormat, data: &[u8]) -> bool {
    match format {
        PublicationDataFormat::Any => !data.is_empty(),
        PublicationDataFormat::Json => wire::is_json(data),
        PublicationDataFormat::JsonObject => {
            data.trim_ascii_start().starts_with(b"{") && wire::is_json(data)
        }
        PublicationDataFormat::Binary => true,
    }
}

//! `history`.

use broker::HistoryRequest as BrokerRequest;
use wire::{Disconnect, ErrorCode, HistoryRequest, HistoryResult, ReplyBody};

use super::{Answer, Session};
use crate::convert;

impl Session {
    pub(super) async fn history(&mut self, request: HistoryRequest) -> Answer {
        if request.channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let (_, namespace) = self.node.namespaces.check(&request.channel)?;
        if namespace.history.is_none() {
            return Err(ErrorCode::NOT_AVAILABLE.into());
        }
        let subscribed = self.subscriptions.contains(&request.channel);
        if !namespace.may_read_history(&self.user, subscribed) && !self.node.config.client.insecure
        {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        let since = request.since;
        if request.reverse && since.as_ref().is_some_and(|since| since.offset == 0) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let most = self.node.config.history_limit();
        let limit = match u32::try_from(request.limit) {
            Ok(limit) => limit.min(most),
            // -1: as many as are allowed.
            Err(_) => most,
        };
        let read = self.node.history(
            &request.channel,
            &namespace,
            BrokerRequest {
                since: since.as_ref().map(|since| since.offset),
                limit: Some(limit),
                reverse: request.reverse,
                meta_ttl: namespace.meta_ttl,
            },
        );
        let history = read.await.map_err(|error| {
            tracing::warn!(channel.name = request.channel, %error, "reading history failed");
            ErrorCode::INTERNAL
        })?;
        let epoch = &history.position.epoch;
        if since.is_some_and(|since| !since.epoch.is_empty() && *since.epoch != **epoch) {
            return Err(ErrorCode::UNRECOVERABLE_POSITION.into());
        }
        let publications = history.publications.iter();
        Ok(ReplyBody::History(HistoryResult {
            publications: publications
                .map(|one| convert::publication(one, epoch))
                .collect(),
            epoch: epoch.as_ref().to_owned(),
            offset: history.position.offset,
        }))
    }
}

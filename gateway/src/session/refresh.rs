//! `refresh` and `sub_refresh`: new tokens for what is going to expire.

use std::sync::Arc;

use bytes::Bytes;
use wire::{
    Disconnect, ErrorCode, RefreshRequest, RefreshResult, ReplyBody, SubRefreshRequest,
    SubRefreshResult,
};

use super::subscription::Origin;
use super::{Answer, Session, time_left};
use crate::clock::unix_seconds;

impl Session {
    pub(super) async fn refresh(&mut self, request: &RefreshRequest) -> Answer {
        if request.token.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let node = Arc::clone(&self.node);
        let verified = node
            .verifiers
            .connection
            .verify_connection(&request.token, unix_seconds());
        let claims = verified.await.map_err(|error| match error {
            auth::TokenError::Expired => super::Failure::from(Disconnect::CONNECTION_EXPIRED),
            auth::TokenError::Invalid(reason) => {
                tracing::debug!(session.id = %self.connection.id(), %reason, "refresh token");
                Disconnect::INVALID_TOKEN.into()
            }
            auth::TokenError::Unavailable(_) => ErrorCode::INTERNAL.into(),
        })?;
        if *claims.user != *self.user {
            return Err(Disconnect::INVALID_TOKEN.into());
        }
        // With another set of channels the client comes back and gets that one.
        let from_token = self
            .subscriptions
            .iter()
            .filter(|one| one.origin == Origin::Token);
        let same = claims.subs.keys().map(|channel| &**channel).eq({
            let mut names: Vec<_> = from_token.map(|one| &**one.channel.name()).collect();
            names.sort_unstable();
            names
        });
        if !same {
            return Err(Disconnect::INSUFFICIENT_STATE.into());
        }
        self.expire_at = claims.expire_at.unwrap_or(0);
        if let Some(info) = claims.info {
            self.conn_info = info;
        }
        let left = time_left(self.expire_at)?;
        self.plan_tick();
        Ok(ReplyBody::Refresh(RefreshResult {
            client: self.connection.id().to_string(),
            version: super::connect::VERSION.to_owned(),
            expires: left.is_some(),
            ttl: left.unwrap_or(0),
        }))
    }

    pub(super) async fn sub_refresh(&mut self, request: &SubRefreshRequest) -> Answer {
        let channel = &*request.channel;
        if channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        if !self.subscriptions.contains(channel) {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        // Other types belong to shared polling.
        if request.r#type != 0 || request.token.is_empty() {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let invalid = Disconnect::INVALID_TOKEN.into();
        let claims = self
            .verify_subscription(channel, &request.token, invalid)
            .await?;
        let expire_at = claims.expire_at.unwrap_or(0);
        let left = time_left(expire_at)?;
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.expire_at = expire_at;
            let info: Bytes = claims.info.unwrap_or_default();
            subscription.chan_info = (!info.is_empty()).then(|| Box::new(info));
        }
        self.plan_tick();
        Ok(ReplyBody::SubRefresh(SubRefreshResult {
            expires: left.is_some(),
            ttl: left.unwrap_or(0),
            items: Vec::new(),
        }))
    }
}

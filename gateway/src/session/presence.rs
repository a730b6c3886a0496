//! `presence` and `presence_stats`, and the client's own presence.

use std::sync::Arc;

use broker::ClientInfo;
use bytes::Bytes;
use wire::{
    Disconnect, ErrorCode, PresenceRequest, PresenceResult, PresenceStatsRequest,
    PresenceStatsResult, ReplyBody,
};

use super::{Answer, Failure, Session};
use crate::convert;

/// How long presence outlives its last renewal, in renewals.
const LIFE: f64 = 60.0 / 27.0;

impl Session {
    pub(super) async fn presence(&mut self, request: &PresenceRequest) -> Answer {
        self.check_presence(&request.channel)?;
        let present = self.node.broker.presence(&request.channel).await;
        let present = present.map_err(|error| self.broker_failure(&error))?;
        let by_client = |info: ClientInfo| (info.client.clone(), convert::client_info(&info));
        Ok(ReplyBody::Presence(PresenceResult {
            presence: present.into_iter().map(by_client).collect(),
        }))
    }

    pub(super) async fn presence_stats(&mut self, request: &PresenceStatsRequest) -> Answer {
        self.check_presence(&request.channel)?;
        let stats = self.node.broker.presence_stats(&request.channel).await;
        let stats = stats.map_err(|error| self.broker_failure(&error))?;
        Ok(ReplyBody::PresenceStats(PresenceStatsResult {
            num_clients: stats.num_clients,
            num_users: stats.num_users,
        }))
    }

    fn check_presence(&self, channel: &str) -> Result<(), Failure> {
        if channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let (_, namespace) = self.node.namespaces.check(channel)?;
        if !namespace.options.presence {
            return Err(ErrorCode::NOT_AVAILABLE.into());
        }
        let subscribed = self.subscriptions.contains(channel);
        if !namespace.may_see_presence(&self.user, subscribed) && !self.node.config.client.insecure
        {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        Ok(())
    }

    /// A broker call of a command failed.
    pub(super) fn broker_failure(&self, error: &broker::Error) -> Failure {
        self.node.metrics.broker_errors.inc();
        tracing::warn!(session.id = %self.connection.id(), %error, "broker call failed");
        ErrorCode::INTERNAL.into()
    }

    /// The client as others see it.
    pub(super) fn info(&self, chan_info: Option<&Bytes>) -> ClientInfo {
        ClientInfo {
            user: self.user.as_ref().to_owned(),
            client: self.connection.id().to_string(),
            conn_info: self.conn_info.clone(),
            chan_info: chan_info.cloned().unwrap_or_default(),
        }
    }

    fn info_in(&self, channel: &str) -> ClientInfo {
        let subscription = self.subscriptions.get(channel);
        self.info(subscription.and_then(|one| one.chan_info.as_deref()))
    }

    /// The client's info for a publication into a channel.
    pub(super) fn publisher_info(&self, channel: &str) -> Arc<ClientInfo> {
        Arc::new(self.info_in(channel))
    }

    pub(super) async fn add_presence(&mut self, channel: &str) -> broker::Result<()> {
        let interval = self.node.config.client.presence_update_interval.get();
        let info = self.info_in(channel);
        self.node
            .broker
            .add_presence(channel, &info, interval.mul_f64(LIFE))
            .await?;
        if self.presence_at == 0 {
            self.presence_at = self.node.clock.now() + millis(interval);
        }
        Ok(())
    }

    /// Renews the client's presence where it is due.
    pub(super) async fn refresh_presence(&mut self) {
        if self.presence_at == 0 || self.node.clock.now() < self.presence_at {
            return;
        }
        let present = self.subscriptions.iter().filter(|one| one.presence);
        let channels: Vec<_> = present.map(|one| Arc::clone(one.channel.name())).collect();
        self.presence_at = 0;
        for channel in channels {
            if let Err(error) = self.add_presence(&channel).await {
                self.node.metrics.broker_errors.inc();
                tracing::debug!(channel.name = %channel, %error, "renewing presence failed");
                let interval = self.node.config.client.presence_update_interval.get();
                self.presence_at = self.node.clock.now() + millis(interval) / 4;
            }
        }
    }

    /// Tells the others in a channel that the client joined or left.
    pub(super) async fn announce(&self, channel: &str, joined: bool) {
        let info = self.info_in(channel);
        self.announce_info(channel, joined, &info).await;
    }

    pub(super) async fn announce_info(&self, channel: &str, joined: bool, info: &ClientInfo) {
        if let Err(error) = self
            .node
            .broker
            .publish_membership(channel, joined, info)
            .await
        {
            self.node.metrics.broker_errors.inc();
            tracing::debug!(channel.name = channel, joined, %error, "announcing failed");
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

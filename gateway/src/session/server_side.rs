//! What the server API does to a session: subscribe it, prolong it, expire it.

use std::sync::Arc;

use broker::Position;
use bytes::Bytes;
use wire::{Disconnect, PushBody, RefreshPush, SubscribePush, SubscribeRequest};

use super::subscribe::{Entered, Grant};
use super::subscription::Origin;
use super::{Session, time_left};

/// A subscription that the server API makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerSubscribe {
    /// Where.
    pub(crate) channel: String,
    /// Shown to others in the channel.
    pub(crate) info: Bytes,
    /// For the client.
    pub(crate) data: Bytes,
    /// Unix seconds; 0: never.
    pub(crate) expire_at: i64,
    /// Deliver what follows this position first.
    pub(crate) recover_since: Option<Position>,
    /// What differs from the namespace's options.
    pub(crate) overrides: auth::Overrides,
}

/// A session's new term.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerRefresh {
    /// It ends now.
    pub(crate) expired: bool,
    /// Unix seconds; 0: never.
    pub(crate) expire_at: i64,
    /// Replaces what others see of it.
    pub(crate) info: Option<Bytes>,
}

impl Session {
    pub(super) async fn server_subscribe(&mut self, subscribe: ServerSubscribe) {
        let channel = subscribe.channel;
        let node = Arc::clone(&self.node);
        if self.subscriptions.contains(&channel) {
            return;
        }
        let Some(namespace) = node.namespaces.of(&channel) else {
            return;
        };
        if self.subscriptions.len() >= node.config.client.channel_limit {
            self.disconnect(Disconnect::CHANNEL_LIMIT);
            return;
        }
        let since = subscribe.recover_since;
        let request = SubscribeRequest {
            channel: channel.clone(),
            recover: since.is_some(),
            recoverable: since.is_some(),
            positioned: since.is_some(),
            epoch: since
                .as_ref()
                .map_or_else(String::new, |since| since.epoch.as_ref().to_owned()),
            offset: since.as_ref().map_or(0, |since| since.offset),
            ..SubscribeRequest::default()
        };
        let grant = Grant {
            info: subscribe.info,
            data: subscribe.data,
            expire_at: subscribe.expire_at,
            client_refresh: false,
            overrides: subscribe.overrides,
            origin: Origin::Server,
        };
        let entered = match self.enter(&request, &namespace, grant).await {
            Ok(entered) => entered,
            Err(super::Failure::Disconnect(disconnect)) => return self.disconnect(disconnect),
            Err(super::Failure::Error(error)) => {
                tracing::debug!(
                    channel.name = channel,
                    code = error.code.0,
                    "server subscribe"
                );
                return;
            }
        };
        let Entered { result, joining } = entered;
        // A client that recovered gets what it missed as publications, so it must
        // start from where it was.
        let missed = result.publications;
        let push = SubscribePush {
            recoverable: result.recoverable,
            epoch: result.epoch,
            offset: result.offset,
            positioned: result.positioned,
            data: result.data,
        };
        self.push(&channel, PushBody::Subscribe(push));
        for publication in missed {
            self.push(&channel, PushBody::Publication(publication));
        }
        self.go_live(joining).await;
        self.plan_tick();
    }

    pub(super) fn server_refresh(&mut self, refresh: ServerRefresh) {
        if refresh.expired {
            self.disconnect(Disconnect::CONNECTION_EXPIRED);
            return;
        }
        let Ok(left) = time_left(refresh.expire_at) else {
            return self.disconnect(Disconnect::CONNECTION_EXPIRED);
        };
        self.expire_at = refresh.expire_at;
        if let Some(info) = refresh.info {
            self.conn_info = info;
        }
        let push = RefreshPush {
            expires: left.is_some(),
            ttl: left.unwrap_or(0),
        };
        self.push("", PushBody::Refresh(push));
        self.plan_tick();
    }
}

//! `subscribe` and `unsubscribe`, and what all ways into a channel share.
//!
//! A subscription is made in two steps. [`Session::enter`] holds the channel,
//! keeps what arrives meanwhile, reads history and says what to answer; after the
//! answer was sent, [`Session::go_live`] sends what arrived and lets the rest
//! follow. So the answer always comes first, and nothing is lost in between.

use std::sync::Arc;

use broker::Position;
use bytes::Bytes;
use wire::{
    Disconnect, ErrorCode, PushBody, ReplyBody, SubscribeRequest, SubscribeResult, Unsubscribe,
    UnsubscribePush, UnsubscribeRequest, UnsubscribeResult,
};

use super::subscription::{Origin, Subscription};
use super::{Answer, Failure, Session, time_left};
use crate::channel_name::ChannelName;
use crate::clock::unix_seconds;
use crate::config::RecoveryMode;
use crate::convert;
use crate::hub::{Channel, Listener};
use crate::metrics::{CodeLabels, ResultLabels};
use crate::namespaces::Namespace;
use crate::node::{Part, ReadError};
use crate::recovery::{self, Outcome};
use crate::services::Authorization;

/// What a subscription is allowed, and by whom it was decided.
#[derive(Debug, Default)]
pub(super) struct Grant {
    /// Shown to others in the channel.
    pub(super) info: Bytes,
    /// For the client, in the reply.
    pub(super) data: Bytes,
    /// Unix seconds; 0: never.
    pub(super) expire_at: i64,
    /// The client refreshes its token itself.
    pub(super) client_refresh: bool,
    pub(super) overrides: auth::Overrides,
    pub(super) origin: Origin,
}

/// A subscription between its two steps: what is answered, and what follows.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) result: SubscribeResult,
    pub(super) joining: Joining,
}

/// What the second step needs.
#[derive(Debug)]
pub(super) struct Joining {
    listener: Listener,
    channel: Arc<Channel>,
    epoch: Arc<str>,
    /// Others are told that the client joins.
    announced: bool,
    /// It expires, or keeps presence: the session has to be woken for it.
    needs_tick: bool,
}

/// What is in force for a subscription.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
struct Features {
    positioned: bool,
    recoverable: bool,
    join_leave: bool,
    presence: bool,
    announced: bool,
}

impl Session {
    pub(super) async fn subscribe(
        &mut self,
        id: u32,
        request: &SubscribeRequest,
    ) -> Result<(), Failure> {
        let (namespace, grant) = self.check_subscribe(request).await?;
        let Entered { result, joining } = self.enter(request, &namespace, grant).await?;
        let unrecovered = result.was_recovering && !result.recovered;
        if unrecovered && request.flag & SubscribeRequest::REJECT_UNRECOVERED != 0 {
            Box::pin(self.end_subscription(&request.channel, None)).await;
            return Err(ErrorCode::UNRECOVERABLE_POSITION.into());
        }
        let needs_tick = joining.needs_tick;
        self.reply(id, ReplyBody::Subscribe(result));
        self.go_live(joining).await;
        if needs_tick {
            self.plan_tick();
        }
        Ok(())
    }

    /// The checks of the protocol, in its order.
    async fn check_subscribe(
        &mut self,
        request: &SubscribeRequest,
    ) -> Result<(Arc<Namespace>, Grant), Failure> {
        let channel = &*request.channel;
        let node = Arc::clone(&self.node);
        if channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        // 4: a shared-poll subscription, which no channel offers here.
        if request.r#type == 4 {
            return Err(ErrorCode::NOT_AVAILABLE.into());
        }
        if !matches!(&*request.delta, "" | "fossil") {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        if !node.namespaces.allows_length(channel) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        if self.subscriptions.contains(channel) {
            return Err(ErrorCode::ALREADY_SUBSCRIBED.into());
        }
        if self.subscriptions.len() >= node.config.client.channel_limit {
            return Err(ErrorCode::LIMIT_EXCEEDED.into());
        }
        let (name, namespace) = node.namespaces.check_name(channel)?;
        if request.r#type != 0 {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        let grant = self.authorize(request, &name, &namespace).await?;
        if grant.expire_at != 0 && grant.expire_at <= unix_seconds() {
            return Err(ErrorCode::EXPIRED.into());
        }
        if request.tf.is_some() {
            // Filters are not offered yet; ignoring one would deliver too much.
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        Ok((namespace, grant))
    }

    /// Who may subscribe: the token's word, else the name's, else the service's,
    /// else the namespace's.
    async fn authorize(
        &self,
        request: &SubscribeRequest,
        name: &ChannelName<'_>,
        namespace: &Namespace,
    ) -> Result<Grant, Failure> {
        if !request.token.is_empty() {
            return Box::pin(self.authorize_by_token(request)).await;
        }
        let node = &self.node;
        let denied = Err(ErrorCode::PERMISSION_DENIED.into());
        if name.private {
            return denied;
        }
        if name.is_user_limited() {
            return if namespace.admits(name, &self.user) || node.config.client.insecure {
                Ok(Grant::default())
            } else {
                denied
            };
        }
        if let Some(service) = &namespace.service {
            let asked = node
                .services
                .authorize_subscribe(service, name.full, &self.user);
            return match Box::pin(asked).await {
                Ok(Authorization::Granted { info }) => Ok(Grant {
                    info,
                    ..Grant::default()
                }),
                Ok(Authorization::Denied) => denied,
                Err(error) => Err(error.into()),
            };
        }
        if namespace.may_subscribe(&self.user) || node.config.client.insecure {
            return Ok(Grant::default());
        }
        denied
    }

    async fn authorize_by_token(&self, request: &SubscribeRequest) -> Result<Grant, Failure> {
        let denied = ErrorCode::PERMISSION_DENIED.into();
        let claims = self
            .verify_subscription(&request.channel, &request.token, denied)
            .await?;
        Ok(Grant {
            info: claims.info.unwrap_or_default(),
            data: claims.data.unwrap_or_default(),
            expire_at: claims.expire_at.unwrap_or(0),
            client_refresh: claims.expire_at.is_some(),
            overrides: claims.overrides,
            origin: Origin::Client,
        })
    }

    /// The claims of a subscription token, if it is this client's for this channel.
    /// `invalid`: the answer to one that does not verify, which differs by command.
    pub(super) async fn verify_subscription(
        &self,
        channel: &str,
        token: &str,
        invalid: Failure,
    ) -> Result<auth::SubscriptionClaims, Failure> {
        let verifier = self.node.verifiers.subscription();
        let verified = verifier.verify_subscription(token, unix_seconds()).await;
        let claims = verified.map_err(|error| match error {
            auth::TokenError::Expired => ErrorCode::TOKEN_EXPIRED.into(),
            auth::TokenError::Invalid(reason) => {
                tracing::debug!(session.id = %self.connection.id(), %reason, "subscription token");
                invalid
            }
            auth::TokenError::Unavailable(_) => ErrorCode::INTERNAL.into(),
        })?;
        if claims.is_for(channel, &self.user, &self.connection.id().to_string()) {
            Ok(claims)
        } else {
            Err(Disconnect::INVALID_TOKEN.into())
        }
    }

    fn features(
        &self,
        request: &SubscribeRequest,
        namespace: &Namespace,
        grant: &Grant,
    ) -> Features {
        let options = &namespace.options;
        let overrides = &grant.overrides;
        let history_access = namespace.may_read_history(&self.user, true);
        let presence_access = namespace.may_see_presence(&self.user, true);
        let asked = |allowed: bool, wanted: bool| wanted && (allowed || history_access);
        let recoverable = overrides.force_recovery.unwrap_or(options.force_recovery)
            || asked(
                options.allow_recovery,
                request.recoverable || request.recover,
            );
        let positioned = overrides
            .force_positioning
            .unwrap_or(options.force_positioning)
            || asked(options.allow_positioning, request.positioned);
        let keeps_history = namespace.history.is_some();
        let announced = overrides.join_leave.unwrap_or(options.join_leave);
        let force_push = overrides
            .force_push_join_leave
            .unwrap_or(options.force_push_join_leave);
        Features {
            recoverable: recoverable && keeps_history,
            positioned: (positioned || recoverable) && keeps_history,
            join_leave: announced && (force_push || (request.join_leave && presence_access)),
            presence: overrides.presence.unwrap_or(options.presence),
            announced,
        }
    }

    /// The first step into a channel. On a failure nothing is held.
    pub(super) async fn enter(
        &mut self,
        request: &SubscribeRequest,
        namespace: &Arc<Namespace>,
        grant: Grant,
    ) -> Result<Entered, Failure> {
        let node = Arc::clone(&self.node);
        let features = self.features(request, namespace, &grant);
        let left = time_left(grant.expire_at)?;
        let channel = node
            .enter(&request.channel, namespace)
            .await
            .map_err(|error| {
                tracing::warn!(channel.name = request.channel, %error, "subscribing failed");
                Failure::from(Disconnect::INTERNAL)
            })?;
        if features.positioned {
            channel.start_joining(&self.connection);
        }
        let needs_tick = grant.expire_at != 0 || features.presence;
        let chan_info = (!grant.info.is_empty()).then(|| Box::new(grant.info));
        self.subscriptions.add(Subscription {
            channel: Arc::clone(&channel),
            expire_at: grant.expire_at,
            chan_info,
            origin: grant.origin,
            presence: features.presence,
            // Nobody leaves who has not joined: see `go_live`.
            announced: false,
        });
        node.metrics.subscriptions.inc();
        let mut result = SubscribeResult {
            expires: left.is_some() && grant.client_refresh,
            ttl: if grant.client_refresh {
                left.unwrap_or(0)
            } else {
                0
            },
            recoverable: features.recoverable,
            positioned: features.positioned,
            data: grant.data,
            ..SubscribeResult::default()
        };
        let (mut epoch, mut after) = (Arc::default(), 0);
        if features.presence || features.positioned {
            let preparing = self.prepare(&channel, namespace, request, features, &mut result);
            match Box::pin(preparing).await {
                Ok(prepared) => (epoch, after) = prepared,
                Err(failure) => {
                    Box::pin(self.end_subscription(&request.channel, None)).await;
                    return Err(failure);
                }
            }
        }
        Ok(Entered {
            result,
            joining: Joining {
                listener: Listener {
                    connection: Arc::clone(&self.connection),
                    after,
                    positioned: features.positioned,
                    join_leave: features.join_leave,
                },
                channel,
                epoch,
                announced: features.announced,
                needs_tick,
            },
        })
    }

    /// Writes presence and reads history. Returns the epoch, and up to which
    /// offset the reply brings the client.
    async fn prepare(
        &mut self,
        channel: &Arc<Channel>,
        namespace: &Arc<Namespace>,
        request: &SubscribeRequest,
        features: Features,
        result: &mut SubscribeResult,
    ) -> Result<(Arc<str>, u64), Failure> {
        if features.presence {
            self.add_presence(channel.name()).await.map_err(|error| {
                tracing::warn!(channel.name = %channel.name(), %error, "writing presence failed");
                Failure::from(Disconnect::INTERNAL)
            })?;
        }
        if !features.positioned {
            return Ok((Arc::default(), 0));
        }
        let client = (request.recover && features.recoverable).then(|| Position {
            epoch: request.epoch.as_str().into(),
            offset: request.offset,
        });
        let read = self.read_for(channel, namespace, client.as_ref()).await;
        let (top, outcome) = read.map_err(|error| {
            tracing::warn!(channel.name = %channel.name(), %error, "reading history failed");
            Failure::from(Disconnect::INTERNAL)
        })?;
        top.epoch.as_ref().clone_into(&mut result.epoch);
        result.offset = top.offset;
        if let Some(client) = client {
            result.was_recovering = true;
            result.recovered = outcome.recovered;
            let is_stream = namespace.options.force_recovery_mode == RecoveryMode::Stream;
            if outcome.recovered && is_stream {
                // The client advances by walking the publications.
                result.offset = client.offset;
            }
            let label = if outcome.recovered {
                "recovered"
            } else {
                "unrecovered"
            };
            self.node
                .metrics
                .recoveries
                .get_or_create(&ResultLabels { result: label })
                .inc();
        }
        let publications = outcome.publications.iter();
        result.publications = publications
            .map(|one| convert::publication(one, &top.epoch))
            .collect();
        Ok((top.epoch, top.offset))
    }

    async fn read_for(
        &self,
        channel: &Arc<Channel>,
        namespace: &Arc<Namespace>,
        client: Option<&Position>,
    ) -> Result<(Position, Outcome), ReadError> {
        let name = channel.name();
        let limit = self.node.config.recovery_limit();
        match (client, namespace.options.force_recovery_mode) {
            (None, _) => {
                let history = self.node.read(name, namespace, Part::Top).await?;
                Ok((history.position.clone(), Outcome::default()))
            }
            (Some(client), RecoveryMode::Cache) => {
                let history = self.node.read(name, namespace, Part::Newest).await?;
                let newest = history.publications.first().cloned();
                let outcome = recovery::cache(Some(client), &history.position, newest);
                Ok((history.position.clone(), outcome))
            }
            (Some(client), RecoveryMode::Stream) => {
                let part = Part::After {
                    position: client.clone(),
                    limit,
                };
                let history = self.node.read(name, namespace, part).await?;
                let read = history.publications.clone();
                let outcome = recovery::stream(client, &history.position, read);
                Ok((history.position.clone(), outcome))
            }
        }
    }

    /// The second step: what arrived since the first, then everything live.
    pub(super) async fn go_live(&mut self, joining: Joining) {
        let Joining {
            listener,
            channel,
            epoch,
            announced,
            ..
        } = joining;
        let (delivered, live) = channel.go_live(&epoch, listener);
        self.node.after(&channel, delivered);
        if live.is_err() {
            Box::pin(self.position_lost(channel.name())).await;
            return;
        }
        if announced && let Some(subscription) = self.subscriptions.get_mut(channel.name()) {
            subscription.announced = true;
            Box::pin(self.announce(channel.name(), true)).await;
        }
    }

    /// Ends a subscription; the client is told unless it asked for it itself.
    pub(super) async fn end_subscription(&mut self, channel: &str, told: Option<Unsubscribe>) {
        let Some(subscription) = self.subscriptions.remove(channel) else {
            return;
        };
        self.leave_hub(&subscription);
        if let Some(unsubscribe) = told {
            let code = unsubscribe.code;
            self.node
                .metrics
                .unsubscribes
                .get_or_create(&CodeLabels { code })
                .inc();
            let reason = unsubscribe.reason.into_owned();
            self.push(
                channel,
                PushBody::Unsubscribe(UnsubscribePush { code, reason }),
            );
        }
        self.let_go(subscription).await;
    }

    /// Gets nothing more from a channel; what arrived before is sent.
    pub(super) fn leave_hub(&self, subscription: &Subscription) {
        let channel = &subscription.channel;
        self.node.after(channel, channel.remove(&self.connection));
    }

    /// Undoes what else a subscription did.
    pub(super) async fn let_go(&mut self, subscription: Subscription) {
        let node = Arc::clone(&self.node);
        let channel = subscription.channel.name();
        node.metrics.subscriptions.dec();
        if subscription.presence {
            let client = self.connection.id().to_string();
            if let Err(error) = node
                .broker
                .remove_presence(channel, &client, &self.user)
                .await
            {
                // It expires by itself.
                node.metrics.broker_errors.inc();
                tracing::debug!(channel.name = %channel, %error, "removing presence failed");
            }
        }
        if subscription.announced {
            let info = self.info(subscription.chan_info.as_deref());
            self.announce_info(channel, false, &info).await;
        }
        node.exit(&subscription.channel).await;
    }

    pub(super) async fn unsubscribe(&mut self, request: &UnsubscribeRequest) -> Answer {
        if request.channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        // What the server subscribed only the server ends.
        if self
            .subscriptions
            .get(&request.channel)
            .is_some_and(|one| !one.origin.is_server_side())
        {
            self.end_subscription(&request.channel, None).await;
        }
        Ok(ReplyBody::Unsubscribe(UnsubscribeResult {}))
    }
}

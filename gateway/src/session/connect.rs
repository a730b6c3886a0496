//! `connect`: who the client is, and what it is subscribed to from the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use auth::{ConnectionClaims, ServerSubscription, TokenError};
use wire::{ConnectRequest, ConnectResult, Disconnect, ErrorCode, ReplyBody, SubscribeRequest};

use super::subscribe::{Entered, Grant};
use super::subscription::Origin;
use super::{Failure, Session, Stage, time_left};
use crate::channel_name::{ChannelName, personal_channel};
use crate::clock::{unix_millis, unix_seconds};
use crate::namespaces::Namespace;

/// What the connect reply names as the server's version.
pub(super) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " OSS");

/// A channel to subscribe to on the server's side.
struct ServerSide {
    namespace: Arc<Namespace>,
    origin: Origin,
    subscription: ServerSubscription,
}

impl Session {
    pub(super) async fn connect(
        &mut self,
        id: u32,
        request: &mut ConnectRequest,
    ) -> Result<(), Failure> {
        let claims = match self.authenticate_at_once(&request.token) {
            Some(authenticated) => authenticated?,
            None => Box::pin(self.authenticate_by_published_keys(&request.token)).await?,
        };
        let node = Arc::clone(&self.node);
        let config = &node.config.client;
        let expire_at = claims.expire_at.unwrap_or(0);
        let left = time_left(expire_at)?;
        self.user = claims.user.into();
        self.conn_info = claims.info.unwrap_or_default();
        self.expire_at = expire_at;
        let channels = self.server_side_channels(claims.subs, request)?;
        if channels.len() > config.channel_limit {
            return Err(Disconnect::CHANNEL_LIMIT.into());
        }
        self.register().await?;

        let mut joinings = Vec::with_capacity(channels.len());
        let mut subs = BTreeMap::new();
        for (channel, server_side) in channels {
            let recover = request.subs.remove(&channel).unwrap_or_default();
            let entering = self.enter_server_side(&channel, server_side, recover);
            let Entered { result, joining } = Box::pin(entering).await?;
            subs.insert(channel, result);
            joinings.push(joining);
        }
        let ping = self.connection.ping_policy();
        // A native one is no concern of the client's code.
        let told = ping.filter(|_| !self.connection.has_native_ping());
        let result = ConnectResult {
            client: self.connection.id().to_string(),
            version: VERSION.to_owned(),
            expires: left.is_some(),
            ttl: left.unwrap_or(0),
            subs,
            ping: told.map_or(0, |ping| {
                u32::try_from(ping.interval / 1000)
                    .unwrap_or(u32::MAX)
                    .max(1)
            }),
            pong: told.is_some_and(|ping| ping.timeout > 0),
            node: if config.connect_include_server_time {
                node.id.clone()
            } else {
                String::new()
            },
            time: if config.connect_include_server_time {
                unix_millis()
            } else {
                0
            },
            ..ConnectResult::default()
        };
        let ping_at = ping.map_or(u64::MAX, |ping| node.wheel().first_ping(ping.interval));
        self.connection.connected(&self.user, ping_at);
        if ping.is_some() {
            node.wheel().add(&self.connection, ping_at);
        }
        self.reply(id, ReplyBody::Connect(result));
        for joining in joinings {
            Box::pin(self.go_live(joining)).await;
        }
        self.plan_tick();
        tracing::debug!(
            session.id = %self.connection.id(),
            user.id = %self.user,
            client.name = request.name,
            client.version = request.version,
            "connected"
        );
        Ok(())
    }

    /// Who the client is: its token's word, else the operator's proxy's, else
    /// nobody, where that is allowed. `None`: the keys may have to be fetched.
    fn authenticate_at_once(&self, token: &str) -> Option<Result<ConnectionClaims, Failure>> {
        let config = &self.node.config.client;
        if !token.is_empty() && !config.insecure {
            let verifier = &self.node.verifiers.connection;
            let verified = verifier.verify_connection_at_once(token, unix_seconds())?;
            return Some(self.judge(verified));
        }
        Some(self.authenticate_without_token())
    }

    async fn authenticate_by_published_keys(
        &self,
        token: &str,
    ) -> Result<ConnectionClaims, Failure> {
        let verifier = &self.node.verifiers.connection;
        self.judge(verifier.verify_connection(token, unix_seconds()).await)
    }

    fn judge(
        &self,
        verified: Result<ConnectionClaims, TokenError>,
    ) -> Result<ConnectionClaims, Failure> {
        let claims = verified.map_err(|error| match error {
            TokenError::Expired => Failure::from(ErrorCode::TOKEN_EXPIRED),
            TokenError::Invalid(reason) => {
                tracing::info!(session.id = %self.connection.id(), %reason, "invalid token");
                Disconnect::INVALID_TOKEN.into()
            }
            TokenError::Unavailable(reason) => {
                tracing::warn!(%reason, "a token cannot be verified");
                ErrorCode::INTERNAL.into()
            }
        })?;
        let anonymous = claims.user.is_empty();
        if anonymous && self.node.config.client.disallow_anonymous_connection_tokens {
            return Err(Disconnect::PERMISSION_DENIED.into());
        }
        Ok(claims)
    }

    fn authenticate_without_token(&self) -> Result<ConnectionClaims, Failure> {
        let config = &self.node.config.client;
        if let Some(user) = &self.trusted_user {
            return Ok(ConnectionClaims {
                user: user.to_string(),
                ..ConnectionClaims::default()
            });
        }
        if config.allow_anonymous_connect_without_token || config.insecure {
            return Ok(ConnectionClaims::default());
        }
        tracing::info!(
            session.id = %self.connection.id(),
            "connect without a token: give one, or set client.allow_anonymous_connect_without_token"
        );
        Err(Disconnect::BAD_REQUEST.into())
    }

    /// The channels of the token, the personal one, and those of the client's own
    /// `connect.subs` that it could subscribe to by itself.
    fn server_side_channels(
        &self,
        from_token: BTreeMap<String, ServerSubscription>,
        request: &ConnectRequest,
    ) -> Result<BTreeMap<String, ServerSide>, Failure> {
        let namespaces = &self.node.namespaces;
        let mut channels = BTreeMap::new();
        for (channel, subscription) in from_token {
            let namespace = namespaces.of(&channel).ok_or(ErrorCode::UNKNOWN_CHANNEL)?;
            channels.insert(
                channel,
                ServerSide {
                    namespace,
                    origin: Origin::Token,
                    subscription,
                },
            );
        }
        if let Some(channel) = self.personal_channel() {
            let namespace = namespaces.of(&channel).ok_or(ErrorCode::UNKNOWN_CHANNEL)?;
            channels.entry(channel).or_insert_with(|| ServerSide {
                namespace,
                origin: Origin::Server,
                subscription: ServerSubscription::default(),
            });
        }
        for channel in request.subs.keys() {
            if channels.contains_key(channel) {
                continue;
            }
            let name = ChannelName::parse(channel);
            let namespace = match namespaces.check(channel) {
                Ok((_, namespace)) => namespace,
                Err(ErrorCode::UNKNOWN_CHANNEL) => return Err(Disconnect::BAD_REQUEST.into()),
                Err(_) => continue,
            };
            let by_name = namespace.admits(&name, &self.user);
            let by_options = !name.is_user_limited()
                && namespace.service.is_none()
                && namespace.may_subscribe(&self.user);
            if !name.private && (by_name || by_options) {
                let subscription = ServerSubscription::default();
                channels.insert(
                    channel.clone(),
                    ServerSide {
                        namespace,
                        origin: Origin::Server,
                        subscription,
                    },
                );
            }
        }
        Ok(channels)
    }

    /// The user's own channel, if the configuration subscribes everybody to it.
    fn personal_channel(&self) -> Option<String> {
        let config = &self.node.config.client.subscribe_to_user_personal_channel;
        if !config.enabled || self.user.is_empty() {
            return None;
        }
        let namespace = &*config.personal_channel_namespace;
        Some(personal_channel(
            (!namespace.is_empty()).then_some(namespace),
            &self.user,
        ))
    }

    /// Makes the connection known to the node, within the user's limits.
    async fn register(&mut self) -> Result<(), Failure> {
        let config = &self.node.config.client;
        let limit = config.user_connection_limit;
        if limit > 0 && !self.user.is_empty() && self.node.hub.user_connections(&self.user) >= limit
        {
            return Err(Disconnect::CONNECTION_LIMIT.into());
        }
        let single = &config.subscribe_to_user_personal_channel;
        if single.enabled && single.single_connection && !self.user.is_empty() {
            let id = self.connection.id();
            Box::pin(crate::control::disconnect_others(
                &self.node, &self.user, id,
            ))
            .await;
        }
        self.node.hub.add(&self.user, &self.connection);
        self.registered = true;
        self.stage = Stage::Connected;
        Ok(())
    }

    async fn enter_server_side(
        &mut self,
        channel: &str,
        server_side: ServerSide,
        recover: SubscribeRequest,
    ) -> Result<Entered, Failure> {
        let ServerSide {
            namespace,
            origin,
            subscription,
        } = server_side;
        let grant = Grant {
            info: subscription.info.unwrap_or_default(),
            data: subscription.data.unwrap_or_default(),
            overrides: subscription.overrides,
            origin,
            ..Grant::default()
        };
        let request = SubscribeRequest {
            channel: channel.to_owned(),
            ..recover
        };
        self.enter(&request, &namespace, grant).await
    }
}

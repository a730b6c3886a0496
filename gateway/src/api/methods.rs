//! The methods of the server API.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{HistoryRequest, Position, PublishRequest};
use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use wire::Format;

use super::payload::{bytes, shown};
use super::{Answer, ApiError, MALFORMED, Outcome, execute, request};
use crate::admission;
use crate::control::{self, DisconnectUser, RefreshUser, SubscribeUser, UnsubscribeUser, What};
use crate::namespaces::Namespace;
use crate::node::Node;
use crate::services::Caller;
use crate::session;

/// Publications of a broadcast, or commands of a batch, that are on their way at
/// the same time.
const IN_PARALLEL: usize = 1_024;

macro_rules! methods {
    ($( $variant:ident = $name:literal, )*) => {
        /// A method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Method { $( $variant, )* }

        impl Method {
            /// By the last part of the path.
            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $name => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// Its name.
            pub(super) fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

methods! {
    Publish = "publish",
    Broadcast = "broadcast",
    Subscribe = "subscribe",
    Unsubscribe = "unsubscribe",
    Disconnect = "disconnect",
    Refresh = "refresh",
    Presence = "presence",
    PresenceStats = "presence_stats",
    History = "history",
    HistoryRemove = "history_remove",
    Channels = "channels",
    Info = "info",
    Rpc = "rpc",
    Batch = "batch",
}

impl Method {
    /// Carries it out.
    pub(super) async fn run(self, node: &Arc<Node>, params: &RawValue) -> Answer {
        match self {
            Self::Publish => publish(node, parse(params)?).await,
            Self::Broadcast => broadcast(node, parse(params)?).await,
            Self::Subscribe => subscribe(node, parse(params)?).await,
            Self::Unsubscribe => unsubscribe(node, parse(params)?).await,
            Self::Disconnect => disconnect(node, parse(params)?).await,
            Self::Refresh => refresh(node, parse(params)?).await,
            Self::Presence => presence(node, parse(params)?).await,
            Self::PresenceStats => presence_stats(node, parse(params)?).await,
            Self::History => history(node, parse(params)?).await,
            Self::HistoryRemove => history_remove(node, parse(params)?).await,
            Self::Channels => channels(node, &parse(params)?).await,
            Self::Info => info(node),
            Self::Rpc => rpc(node, parse(params)?).await,
            Self::Batch => batch(node, parse(params)?).await,
        }
    }
}

fn parse<T: DeserializeOwned>(params: &RawValue) -> Result<T, ApiError> {
    serde_json::from_str(params.get())
        .map_err(|error| ApiError::new(107, format!("{MALFORMED}: {error}")))
}

fn answer(result: &impl Serialize) -> Answer {
    to_raw_value(result).map_err(|error| {
        tracing::error!(%error, "an API answer cannot be encoded");
        ApiError::internal()
    })
}

fn done() -> Answer {
    answer(&json!({}))
}

/// The rules of the channel that a method names.
fn namespace(node: &Node, channel: &str) -> Result<Arc<Namespace>, ApiError> {
    if channel.is_empty() {
        return Err(ApiError::bad_request("channel is required"));
    }
    node.namespaces
        .of(channel)
        .ok_or_else(ApiError::unknown_channel)
}

fn require_user(user: &str) -> Result<(), ApiError> {
    if user.is_empty() {
        Err(ApiError::bad_request("user is required"))
    } else {
        Ok(())
    }
}

fn failed(node: &Node, error: &broker::Error) -> ApiError {
    node.metrics.broker_errors.inc();
    tracing::warn!(%error, "broker call failed");
    ApiError::internal()
}

/// A session id names a connection like a client id does: both are the
/// connection's.
fn client_or_session(client: String, session: String) -> String {
    if client.is_empty() { session } else { client }
}

async fn tell(node: &Node, what: What) -> Answer {
    control::send(node, what)
        .await
        .map_err(|error| failed(node, &error))?;
    done()
}

fn publication(params: &request::Publish) -> Result<PublishRequest, ApiError> {
    let data = bytes(params.data.as_deref(), &params.b64data, "data")?;
    if data.is_empty() {
        return Err(ApiError::bad_request("data is required"));
    }
    Ok(PublishRequest {
        data,
        tags: params.tags.clone(),
        idempotency_key: (!params.idempotency_key.is_empty())
            .then(|| params.idempotency_key.clone()),
        version: params.version,
        version_epoch: params.version_epoch.clone(),
        traceparent: runtime::trace::current_traceparent().map(Into::into),
        ..PublishRequest::default()
    })
}

async fn publish_one(
    node: &Node,
    channel: &str,
    mut publication: PublishRequest,
    skip_history: bool,
) -> Answer {
    let namespace = namespace(node, channel)?;
    if !session::is_allowed(namespace.options.publication_data_format, &publication.data) {
        return Err(ApiError::bad_request(
            "data is not what the namespace's publication_data_format asks for",
        ));
    }
    // The offsets of an anchored channel are its log's; others may only add
    // publications without one.
    let keeps = !skip_history && namespace.service.is_none();
    publication.history = namespace.history.filter(|_| keeps);
    let published = node.broker.publish(channel, publication).await;
    let published = published.map_err(|error| failed(node, &error))?;
    match published.position {
        Some(position) => answer(&json!({ "offset": position.offset, "epoch": &*position.epoch })),
        None => done(),
    }
}

async fn publish(node: &Node, params: request::Publish) -> Answer {
    namespace(node, &params.channel)?;
    let publication = publication(&params)?;
    publish_one(node, &params.channel, publication, params.skip_history).await
}

async fn broadcast(node: &Node, params: request::Publish) -> Answer {
    if params.channels.is_empty() {
        return Err(ApiError::bad_request("channels is required"));
    }
    let publication = publication(&params)?;
    let skip_history = params.skip_history;
    let each = params.channels.into_iter().map(|channel| {
        let publication = publication.clone();
        async move { Outcome::from(publish_one(node, &channel, publication, skip_history).await) }
    });
    let responses: Vec<_> = stream::iter(each).buffered(IN_PARALLEL).collect().await;
    answer(&json_object("responses", &responses)?)
}

/// An object with one member, whose value may hold raw JSON.
fn json_object(
    name: &str,
    value: &impl Serialize,
) -> Result<BTreeMap<String, Box<RawValue>>, ApiError> {
    Ok(BTreeMap::from([(name.to_owned(), answer(value)?)]))
}

async fn subscribe(node: &Node, params: request::Subscribe) -> Answer {
    require_user(&params.user)?;
    namespace(node, &params.channel)?;
    let overrides = params.overrides.unwrap_or_default();
    let flag = |value: Option<request::BoolValue>| value.map_or(0, |one| 1 + i32::from(one.value));
    let recover = params.recover_since.is_some();
    let since = params.recover_since.unwrap_or(request::StreamPosition {
        offset: 0,
        epoch: String::new(),
    });
    let subscribe = SubscribeUser {
        info: bytes(params.info.as_deref(), &params.b64info, "info")?,
        data: bytes(params.data.as_deref(), &params.b64data, "data")?,
        user: params.user,
        client: client_or_session(params.client, params.session),
        channel: params.channel,
        expire_at: params.expire_at,
        recover,
        offset: since.offset,
        epoch: since.epoch,
        presence: flag(overrides.presence),
        join_leave: flag(overrides.join_leave),
        force_push_join_leave: flag(overrides.force_push_join_leave),
        force_recovery: flag(overrides.force_recovery),
        force_positioning: flag(overrides.force_positioning),
    };
    tell(node, What::Subscribe(subscribe)).await
}

async fn unsubscribe(node: &Node, params: request::Unsubscribe) -> Answer {
    require_user(&params.user)?;
    namespace(node, &params.channel)?;
    let client = client_or_session(params.client, params.session);
    let unsubscribe = UnsubscribeUser {
        user: params.user,
        client,
        channel: params.channel,
    };
    tell(node, What::Unsubscribe(unsubscribe)).await
}

async fn disconnect(node: &Node, params: request::Disconnect) -> Answer {
    require_user(&params.user)?;
    let default = wire::Disconnect::FORCE_DISCONNECT;
    let (code, reason) = match params.disconnect {
        None => (default.code, default.reason.into_owned()),
        // What a WebSocket close frame may carry for applications.
        Some(one) if (3000..=4999).contains(&one.code) => (one.code, one.reason),
        Some(_) => {
            return Err(ApiError::bad_request(
                "a disconnect code is from 3000 to 4999",
            ));
        }
    };
    let disconnect = DisconnectUser {
        user: params.user,
        client: client_or_session(params.client, params.session),
        whitelist: params.whitelist,
        code,
        reason,
    };
    tell(node, What::Disconnect(disconnect)).await
}

async fn refresh(node: &Node, params: request::Refresh) -> Answer {
    require_user(&params.user)?;
    let refresh = RefreshUser {
        info: bytes(params.info.as_deref(), "", "info")?,
        user: params.user,
        client: client_or_session(params.client, params.session),
        expired: params.expired,
        expire_at: params.expire_at,
    };
    tell(node, What::Refresh(refresh)).await
}

fn check_presence(node: &Node, channel: &str) -> Result<(), ApiError> {
    if namespace(node, channel)?.options.presence {
        Ok(())
    } else {
        Err(ApiError::not_available())
    }
}

/// A client as the API shows it.
#[derive(Debug, Serialize)]
struct Client {
    user: String,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chan_info: Option<Box<RawValue>>,
}

impl From<&broker::ClientInfo> for Client {
    fn from(info: &broker::ClientInfo) -> Self {
        Self {
            user: info.user.clone(),
            client: info.client.clone(),
            conn_info: shown(&info.conn_info).0,
            chan_info: shown(&info.chan_info).0,
        }
    }
}

async fn presence(node: &Node, params: request::Channel) -> Answer {
    check_presence(node, &params.channel)?;
    let present = node.broker.presence(&params.channel).await;
    let present = present.map_err(|error| failed(node, &error))?;
    let clients: BTreeMap<_, _> = present
        .iter()
        .map(|info| (info.client.clone(), Client::from(info)))
        .collect();
    answer(&json_object("presence", &clients)?)
}

async fn presence_stats(node: &Node, params: request::Channel) -> Answer {
    check_presence(node, &params.channel)?;
    let stats = node.broker.presence_stats(&params.channel).await;
    let stats = stats.map_err(|error| failed(node, &error))?;
    answer(&json!({ "num_clients": stats.num_clients, "num_users": stats.num_users }))
}

/// A publication as the API shows it.
#[derive(Debug, Serialize)]
struct Publication {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Client>,
    offset: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct HistoryAnswer {
    publications: Vec<Publication>,
    epoch: String,
    offset: u64,
}

async fn history(node: &Node, params: request::History) -> Answer {
    let namespace = namespace(node, &params.channel)?;
    if namespace.history.is_none() {
        return Err(ApiError::not_available());
    }
    let since = params.since.map(|since| Position {
        epoch: since.epoch.as_str().into(),
        offset: since.offset,
    });
    if params.reverse && since.as_ref().is_some_and(|since| since.offset == 0) {
        return Err(ApiError::bad_request(
            "a reverse read needs an offset above 0",
        ));
    }
    let read = node.history(
        &params.channel,
        &namespace,
        HistoryRequest {
            since: since.as_ref().map(|since| since.offset),
            // Below 0: everything.
            limit: u32::try_from(params.limit).ok(),
            reverse: params.reverse,
            meta_ttl: namespace.meta_ttl,
        },
    );
    let history = read.await.map_err(|error| {
        tracing::warn!(channel.name = params.channel, %error, "reading history failed");
        ApiError::internal()
    })?;
    let position = history.position;
    if since.is_some_and(|since| !since.epoch.is_empty() && since.epoch != position.epoch) {
        return Err(ApiError::unrecoverable_position());
    }
    let publications = history.publications.into_iter().map(|one| {
        let (data, b64data) = shown(&one.data);
        Publication {
            data,
            b64data,
            info: one.info.as_deref().map(Client::from),
            offset: one.offset,
            tags: one.tags,
        }
    });
    answer(&HistoryAnswer {
        publications: publications.collect(),
        epoch: position.epoch.as_ref().to_owned(),
        offset: position.offset,
    })
}

async fn history_remove(node: &Node, params: request::Channel) -> Answer {
    if namespace(node, &params.channel)?.history.is_none() {
        return Err(ApiError::not_available());
    }
    node.broker
        .remove_history(&params.channel)
        .await
        .map_err(|error| failed(node, &error))?;
    done()
}

async fn channels(node: &Node, params: &request::Channels) -> Answer {
    let counted = control::channels(node)
        .await
        .map_err(|error| failed(node, &error))?;
    let pattern = if params.pattern.is_empty() {
        "*"
    } else {
        &*params.pattern
    };
    let mut channels = BTreeMap::<String, u64>::new();
    for one in counted {
        if admission::matches(pattern.as_bytes(), one.channel.as_bytes()) {
            *channels.entry(one.channel).or_default() += u64::from(one.clients);
        }
    }
    let channels: BTreeMap<_, _> = channels
        .into_iter()
        .map(|(name, n)| (name, json!({ "num_clients": n })))
        .collect();
    answer(&json!({ "channels": channels }))
}

fn info(node: &Node) -> Answer {
    let mut nodes = node.control.all(node.clock.now());
    // Of itself the node knows more than it last said.
    nodes.retain(|one| one.uid != node.id);
    nodes.push(control::describe(node));
    let nodes: Vec<_> = nodes
        .into_iter()
        .map(|one| {
            json!({
                "uid": one.uid,
                "name": one.name,
                "version": one.version,
                "num_clients": one.num_clients,
                "num_users": one.num_users,
                "num_subs": one.num_subs,
                "num_channels": one.num_channels,
                "uptime": one.uptime,
            })
        })
        .collect();
    answer(&json!({ "nodes": nodes }))
}

/// Calls a service as the operator's backend, or for a user.
async fn rpc(node: &Node, params: request::Rpc) -> Answer {
    if params.method.is_empty() {
        return Err(ApiError::bad_request("method is required"));
    }
    let payload = bytes(params.params.as_deref(), "", "params")?;
    let user = runtime::grpc::encode_user(&params.user);
    let caller = Caller::Backend { user };
    let called = node
        .services
        .call(&params.method, &payload, Format::Json, caller)
        .await;
    let data = called.map_err(|error| match error.code {
        // Without any service there is no method: for a backend that is "not found".
        wire::ErrorCode::NOT_AVAILABLE if !node.services.has_calls() => ApiError::not_found(),
        code => ApiError::new(code.0, error.message),
    })?;
    let data = shown(&data).0.unwrap_or_else(|| RawValue::NULL.to_owned());
    answer(&json_object("data", &data)?)
}

async fn batch(node: &Arc<Node>, params: request::Batch) -> Answer {
    let each = params.commands.into_iter().map(|command| async move {
        let single = command.len() == 1;
        let (name, method, params) = match command.into_iter().next() {
            Some((name, params)) if single => {
                let method = Method::from_name(&name);
                (name, method, params)
            }
            _ => {
                return error_reply(&ApiError::bad_request("a command has exactly one member"));
            }
        };
        match method {
            None | Some(Method::Batch) => error_reply(&ApiError::not_found()),
            Some(method) => match execute(node, method, &params).await {
                Ok(result) => BTreeMap::from([(name, result)]),
                Err(error) => error_reply(&error),
            },
        }
    });
    let at_once = if params.parallel { IN_PARALLEL } else { 1 };
    let replies: Vec<_> = stream::iter(each).buffered(at_once).collect().await;
    answer(&json_object("replies", &replies)?)
}

fn error_reply(error: &ApiError) -> BTreeMap<String, Box<RawValue>> {
    let error = to_raw_value(error).unwrap_or_else(|_| RawValue::NULL.to_owned());
    BTreeMap::from([("error".to_owned(), error)])
}

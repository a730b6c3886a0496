//! The outermost messages as they are on the wire, where nothing keeps them from holding several
//! bodies, and how they become the types of which each has one.

use crate::command::{
    Command, ConnectRequest, HistoryRequest, PingRequest, PresenceRequest, PresenceStatsRequest,
    PublishRequest, RefreshRequest, Request, RpcRequest, SendRequest, SubRefreshRequest,
    SubscribeRequest, UnsubscribeRequest,
};
use crate::error::{Error, ErrorCode};
use crate::frame::DecodeError;
use crate::publication::Publication;
use crate::push::{
    ConnectPush, DisconnectPush, Join, Leave, Message, Push, PushBody, RefreshPush, SubscribePush,
    UnsubscribePush,
};
use crate::reply::{
    ConnectResult, HistoryResult, PresenceResult, PresenceStatsResult, PublishResult,
    RefreshResult, Reply, ReplyBody, RpcResult, SubRefreshResult, SubscribeResult,
    UnsubscribeResult,
};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CommandFields {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    #[prost(message, optional, tag = "4")]
    pub(crate) connect: Option<ConnectRequest>,
    #[prost(message, optional, tag = "5")]
    pub(crate) subscribe: Option<SubscribeRequest>,
    #[prost(message, optional, tag = "6")]
    pub(crate) unsubscribe: Option<UnsubscribeRequest>,
    #[prost(message, optional, tag = "7")]
    pub(crate) publish: Option<PublishRequest>,
    #[prost(message, optional, tag = "8")]
    pub(crate) presence: Option<PresenceRequest>,
    #[prost(message, optional, tag = "9")]
    pub(crate) presence_stats: Option<PresenceStatsRequest>,
    #[prost(message, optional, tag = "10")]
    pub(crate) history: Option<HistoryRequest>,
    #[prost(message, optional, tag = "11")]
    pub(crate) ping: Option<PingRequest>,
    #[prost(message, optional, tag = "12")]
    pub(crate) send: Option<SendRequest>,
    #[prost(message, optional, tag = "13")]
    pub(crate) rpc: Option<RpcRequest>,
    #[prost(message, optional, tag = "14")]
    pub(crate) refresh: Option<RefreshRequest>,
    #[prost(message, optional, tag = "15")]
    pub(crate) sub_refresh: Option<SubRefreshRequest>,
}

impl From<CommandFields> for Command {
    /// Of several requests the first in this order counts; the others are ignored.
    fn from(fields: CommandFields) -> Self {
        let request = None
            .or_else(|| fields.connect.map(Request::Connect))
            .or_else(|| fields.ping.map(Request::Ping))
            .or_else(|| fields.subscribe.map(Request::Subscribe))
            .or_else(|| fields.unsubscribe.map(Request::Unsubscribe))
            .or_else(|| fields.publish.map(Request::Publish))
            .or_else(|| fields.presence.map(Request::Presence))
            .or_else(|| fields.presence_stats.map(Request::PresenceStats))
            .or_else(|| fields.history.map(Request::History))
            .or_else(|| fields.rpc.map(Request::Rpc))
            .or_else(|| fields.send.map(Request::Send))
            .or_else(|| fields.refresh.map(Request::Refresh))
            .or_else(|| fields.sub_refresh.map(Request::SubRefresh));
        Self {
            id: fields.id,
            request,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ErrorFields {
    #[prost(uint32, tag = "1")]
    pub(crate) code: u32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(bool, tag = "3")]
    pub(crate) temporary: bool,
}

impl From<ErrorFields> for Error {
    fn from(fields: ErrorFields) -> Self {
        Self {
            code: ErrorCode(fields.code),
            message: fields.message,
            temporary: fields.temporary,
        }
    }
}

impl From<&Error> for ErrorFields {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code.0,
            message: error.message.clone(),
            temporary: error.temporary,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReplyFields {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) error: Option<ErrorFields>,
    #[prost(message, optional, tag = "4")]
    pub(crate) push: Option<PushFields>,
    #[prost(message, optional, tag = "5")]
    pub(crate) connect: Option<ConnectResult>,
    #[prost(message, optional, tag = "6")]
    pub(crate) subscribe: Option<SubscribeResult>,
    #[prost(message, optional, tag = "7")]
    pub(crate) unsubscribe: Option<UnsubscribeResult>,
    #[prost(message, optional, tag = "8")]
    pub(crate) publish: Option<PublishResult>,
    #[prost(message, optional, tag = "9")]
    pub(crate) presence: Option<PresenceResult>,
    #[prost(message, optional, tag = "10")]
    pub(crate) presence_stats: Option<PresenceStatsResult>,
    #[prost(message, optional, tag = "11")]
    pub(crate) history: Option<HistoryResult>,
    #[prost(message, optional, tag = "13")]
    pub(crate) rpc: Option<RpcResult>,
    #[prost(message, optional, tag = "14")]
    pub(crate) refresh: Option<RefreshResult>,
    #[prost(message, optional, tag = "15")]
    pub(crate) sub_refresh: Option<SubRefreshResult>,
}

impl TryFrom<ReplyFields> for Reply {
    type Error = DecodeError;

    fn try_from(fields: ReplyFields) -> Result<Self, DecodeError> {
        let push = fields.push.map(Push::try_from).transpose()?;
        let body = None
            .or_else(|| fields.error.map(|error| ReplyBody::Error(error.into())))
            .or_else(|| push.map(ReplyBody::Push))
            .or_else(|| fields.connect.map(ReplyBody::Connect))
            .or_else(|| fields.subscribe.map(ReplyBody::Subscribe))
            .or_else(|| fields.unsubscribe.map(ReplyBody::Unsubscribe))
            .or_else(|| fields.publish.map(ReplyBody::Publish))
            .or_else(|| fields.presence.map(ReplyBody::Presence))
            .or_else(|| fields.presence_stats.map(ReplyBody::PresenceStats))
            .or_else(|| fields.history.map(ReplyBody::History))
            .or_else(|| fields.rpc.map(ReplyBody::Rpc))
            .or_else(|| fields.refresh.map(ReplyBody::Refresh))
            .or_else(|| fields.sub_refresh.map(ReplyBody::SubRefresh));
        match (fields.id, body) {
            (id, Some(body)) => Ok(Self { id, body }),
            (0, None) => Ok(Self {
                id: 0,
                body: ReplyBody::Ping,
            }),
            (_, None) => Err(DecodeError::NoBody),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PushFields {
    #[prost(string, tag = "2")]
    pub(crate) channel: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) publication: Option<Publication>,
    #[prost(message, optional, tag = "5")]
    pub(crate) join: Option<Join>,
    #[prost(message, optional, tag = "6")]
    pub(crate) leave: Option<Leave>,
    #[prost(message, optional, tag = "7")]
    pub(crate) unsubscribe: Option<UnsubscribePush>,
    #[prost(message, optional, tag = "8")]
    pub(crate) message: Option<Message>,
    #[prost(message, optional, tag = "9")]
    pub(crate) subscribe: Option<SubscribePush>,
    #[prost(message, optional, tag = "10")]
    pub(crate) connect: Option<ConnectPush>,
    #[prost(message, optional, tag = "11")]
    pub(crate) disconnect: Option<DisconnectPush>,
    #[prost(message, optional, tag = "12")]
    pub(crate) refresh: Option<RefreshPush>,
}

impl TryFrom<PushFields> for Push {
    type Error = DecodeError;

    fn try_from(fields: PushFields) -> Result<Self, DecodeError> {
        let body = None
            .or_else(|| fields.publication.map(PushBody::Publication))
            .or_else(|| fields.join.map(PushBody::Join))
            .or_else(|| fields.leave.map(PushBody::Leave))
            .or_else(|| fields.unsubscribe.map(PushBody::Unsubscribe))
            .or_else(|| fields.message.map(PushBody::Message))
            .or_else(|| fields.subscribe.map(PushBody::Subscribe))
            .or_else(|| fields.connect.map(PushBody::Connect))
            .or_else(|| fields.disconnect.map(PushBody::Disconnect))
            .or_else(|| fields.refresh.map(PushBody::Refresh))
            .ok_or(DecodeError::NoBody)?;
        Ok(Self {
            channel: fields.channel,
            body,
        })
    }
}

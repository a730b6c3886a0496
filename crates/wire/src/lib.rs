//! The client protocol: types, JSON and Protobuf codecs, framing and codes. No I/O.
//!
//! A client sends [`Command`]s and receives [`Reply`]s; a reply either answers a command by its
//! id or is a [`Push`], the server speaking first. Several messages travel in one WebSocket
//! frame: [`decode_commands`] takes a received frame apart, [`encode_reply`] and [`join`] put a
//! frame together, and [`encode_publication_push`] is the short way for the message that is sent
//! most. [`encode_command`] and [`decode_replies`] are the same for the client's side.
//!
//! Payloads (`data`, `info`, …) pass through unparsed as [`bytes::Bytes`]: the text of one JSON
//! value for JSON clients, any bytes for Protobuf clients. Decoded payloads are copies, so that
//! a publication kept in a history does not pin the network buffer it came in.
//!
//! The protocol is that of Centrifuge. `docs/protocol.md` tells it for authors of clients and
//! lists every code; this crate is the only place in the code where they are spelled.

mod command;
mod disconnect;
mod envelope;
mod error;
mod format;
mod frame;
mod json;
mod protobuf;
mod publication;
mod push;
mod reply;
mod unsubscribe;

pub use command::{
    Command, ConnectRequest, HistoryRequest, PingRequest, PresenceRequest, PresenceStatsRequest,
    PublishRequest, RefreshRequest, Request, RpcRequest, SendRequest, SubRefreshRequest,
    SubscribeRequest, TrackedItems, TrackedKey, UnsubscribeRequest,
};
pub use disconnect::Disconnect;
pub use error::{Error, ErrorCode};
pub use format::Format;
pub use frame::{
    Commands, DecodeError, EncodeError, Replies, decode_commands, decode_replies, empty_command,
    encode_command, encode_publication_push, encode_reply, join,
};
pub use json::{is_json, quote};
pub use publication::{ClientInfo, FilterNode, Publication, StreamPosition};
pub use push::{
    ConnectPush, DisconnectPush, Join, Leave, Message, Push, PushBody, RefreshPush, SubscribePush,
    UnsubscribePush,
};
pub use reply::{
    ConnectResult, Dictionary, HistoryResult, PresenceResult, PresenceStatsResult, PublishResult,
    RefreshResult, Reply, ReplyBody, RpcResult, SubRefreshResult, SubscribeResult,
    UnsubscribeResult,
};
pub use unsubscribe::Unsubscribe;

//! The JSON encoding.
//!
//! [`messages`] lists the fields of every message once, for both directions. [`read`] and
//! [`write`] say how a value of each type is read and written, and [`scan`] tells whether bytes
//! are a JSON value without building one.
//!
//! The rules: names as in the schema; zero values are left out, except for a few fields that are
//! always written; payloads are embedded as they stand, without line breaks; 64-bit numbers are
//! exact; on input, unknown fields are ignored and `null` means absent.

mod command;
mod messages;
mod read;
mod scan;
mod write;

use crate::command::{Command, Request};
use crate::envelope::ErrorFields;
use crate::frame::EncodeError;
use crate::publication::Publication;
use crate::push::{Push, PushBody};
use crate::reply::{Reply, ReplyBody};

pub(crate) use command::read_command;
pub(crate) use read::from_line;
pub use scan::is_json;
pub use write::quote;
use write::{Write, close};

/// Appends a member of an object, and a comma.
fn member(out: &mut Vec<u8>, name: &str, value: &impl Write) -> Result<(), EncodeError> {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    value.write(out)?;
    out.push(b',');
    Ok(())
}

/// Appends `{"id":…`, unless the id is zero, and a comma.
fn open(out: &mut Vec<u8>, id: u32) -> Result<(), EncodeError> {
    out.push(b'{');
    if id == 0 {
        Ok(())
    } else {
        member(out, "id", &id)
    }
}

pub(crate) fn write_command(command: &Command, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    open(out, command.id)?;
    match &command.request {
        None => {}
        Some(Request::Connect(request)) => member(out, "connect", request)?,
        Some(Request::Subscribe(request)) => member(out, "subscribe", request)?,
        Some(Request::Unsubscribe(request)) => member(out, "unsubscribe", request)?,
        Some(Request::Publish(request)) => member(out, "publish", request)?,
        Some(Request::Presence(request)) => member(out, "presence", request)?,
        Some(Request::PresenceStats(request)) => member(out, "presence_stats", request)?,
        Some(Request::History(request)) => member(out, "history", request)?,
        Some(Request::Ping(request)) => member(out, "ping", request)?,
        Some(Request::Send(request)) => member(out, "send", request)?,
        Some(Request::Rpc(request)) => member(out, "rpc", request)?,
        Some(Request::Refresh(request)) => member(out, "refresh", request)?,
        Some(Request::SubRefresh(request)) => member(out, "sub_refresh", request)?,
    }
    close(out, b'}');
    Ok(())
}

pub(crate) fn write_reply(reply: &Reply, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    open(out, reply.id)?;
    match &reply.body {
        ReplyBody::Error(error) => member(out, "error", &ErrorFields::from(error))?,
        ReplyBody::Connect(result) => member(out, "connect", result)?,
        ReplyBody::Subscribe(result) => member(out, "subscribe", result)?,
        ReplyBody::Unsubscribe(result) => member(out, "unsubscribe", result)?,
        ReplyBody::Publish(result) => member(out, "publish", result)?,
        ReplyBody::Presence(result) => member(out, "presence", result)?,
        ReplyBody::PresenceStats(result) => member(out, "presence_stats", result)?,
        ReplyBody::History(result) => member(out, "history", result)?,
        ReplyBody::Rpc(result) => member(out, "rpc", result)?,
        ReplyBody::Refresh(result) => member(out, "refresh", result)?,
        ReplyBody::SubRefresh(result) => member(out, "sub_refresh", result)?,
        ReplyBody::Push(push) => member(out, "push", push)?,
        ReplyBody::Ping => {}
    }
    close(out, b'}');
    Ok(())
}

impl Write for Push {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(b'{');
        if !self.channel.is_empty() {
            member(out, "channel", &self.channel)?;
        }
        match &self.body {
            PushBody::Publication(publication) => member(out, "pub", publication)?,
            PushBody::Join(join) => member(out, "join", join)?,
            PushBody::Leave(leave) => member(out, "leave", leave)?,
            PushBody::Unsubscribe(unsubscribe) => member(out, "unsubscribe", unsubscribe)?,
            PushBody::Message(message) => member(out, "message", message)?,
            PushBody::Subscribe(subscribe) => member(out, "subscribe", subscribe)?,
            PushBody::Connect(connect) => member(out, "connect", connect)?,
            PushBody::Disconnect(disconnect) => member(out, "disconnect", disconnect)?,
            PushBody::Refresh(refresh) => member(out, "refresh", refresh)?,
        }
        close(out, b'}');
        Ok(())
    }
}

pub(crate) fn write_publication_push(
    channel: &str,
    publication: &Publication,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    // Room for the payload and for the names and numbers around it.
    out.reserve(publication.data.len() + channel.len() + 96);
    out.extend_from_slice(b"{\"push\":{");
    if !channel.is_empty() {
        out.extend_from_slice(b"\"channel\":");
        quote(channel, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"pub\":");
    publication.write(out)?;
    out.extend_from_slice(b"}}");
    Ok(())
}

//! The Protobuf encoding of the outermost messages; the others' follows from their attributes.

use prost::Message as _;
use prost::encoding::encode_varint;

use crate::command::{Command, Request};
use crate::envelope::ErrorFields;
use crate::publication::Publication;
use crate::push::{Push, PushBody};
use crate::reply::{Reply, ReplyBody};

/// Appends what `content` appends, preceded by its length.
fn delimited(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    content(out);
    let length = out.len() - start;
    // The length is known only now: write it behind the content, then turn the two around.
    encode_varint(length as u64, out);
    let prefix = out.len() - start - length;
    out[start..].rotate_right(prefix);
}

/// Appends the key of a field that holds a message, a string or bytes.
fn key(out: &mut Vec<u8>, field: u32) {
    encode_varint(u64::from(field << 3 | 2), out);
}

fn message(out: &mut Vec<u8>, field: u32, message: &impl prost::Message) {
    key(out, field);
    encode_varint(message.encoded_len() as u64, out);
    message.encode_raw(out);
}

fn string(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        key(out, field);
        encode_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
    }
}

fn id(out: &mut Vec<u8>, id: u32) {
    if id != 0 {
        out.push(1 << 3);
        encode_varint(u64::from(id), out);
    }
}

pub(crate) fn write_command(command: &Command, out: &mut Vec<u8>) {
    delimited(out, |out| {
        id(out, command.id);
        match &command.request {
            None => {}
            Some(Request::Connect(request)) => message(out, 4, request),
            Some(Request::Subscribe(request)) => message(out, 5, request),
            Some(Request::Unsubscribe(request)) => message(out, 6, request),
            Some(Request::Publish(request)) => message(out, 7, request),
            Some(Request::Presence(request)) => message(out, 8, request),
            Some(Request::PresenceStats(request)) => message(out, 9, request),
            Some(Request::History(request)) => message(out, 10, request),
            Some(Request::Ping(request)) => message(out, 11, request),
            Some(Request::Send(request)) => message(out, 12, request),
            Some(Request::Rpc(request)) => message(out, 13, request),
            Some(Request::Refresh(request)) => message(out, 14, request),
            Some(Request::SubRefresh(request)) => message(out, 15, request),
        }
    });
}

pub(crate) fn write_reply(reply: &Reply, out: &mut Vec<u8>) {
    delimited(out, |out| {
        id(out, reply.id);
        match &reply.body {
            ReplyBody::Error(error) => message(out, 2, &ErrorFields::from(error)),
            ReplyBody::Push(push) => {
                key(out, 4);
                delimited(out, |out| write_push(push, out));
            }
            ReplyBody::Connect(result) => message(out, 5, result),
            ReplyBody::Subscribe(result) => message(out, 6, result),
            ReplyBody::Unsubscribe(result) => message(out, 7, result),
            ReplyBody::Publish(result) => message(out, 8, result),
            ReplyBody::Presence(result) => message(out, 9, result),
            ReplyBody::PresenceStats(result) => message(out, 10, result),
            ReplyBody::History(result) => message(out, 11, result),
            ReplyBody::Rpc(result) => message(out, 13, result),
            ReplyBody::Refresh(result) => message(out, 14, result),
            ReplyBody::SubRefresh(result) => message(out, 15, result),
            ReplyBody::Ping => {}
        }
    });
}

fn write_push(push: &Push, out: &mut Vec<u8>) {
    string(out, 2, &push.channel);
    match &push.body {
        PushBody::Publication(publication) => message(out, 4, publication),
        PushBody::Join(join) => message(out, 5, join),
        PushBody::Leave(leave) => message(out, 6, leave),
        PushBody::Unsubscribe(unsubscribe) => message(out, 7, unsubscribe),
        PushBody::Message(text) => message(out, 8, text),
        PushBody::Subscribe(subscribe) => message(out, 9, subscribe),
        PushBody::Connect(connect) => message(out, 10, connect),
        PushBody::Disconnect(disconnect) => message(out, 11, disconnect),
        PushBody::Refresh(refresh) => message(out, 12, refresh),
    }
}

/// Like [`write_reply`], but lengths are computed first, so that nothing is moved afterwards.
pub(crate) fn write_publication_push(channel: &str, publication: &Publication, out: &mut Vec<u8>) {
    let publication_len = publication.encoded_len();
    let channel_len = match channel.len() {
        0 => 0,
        n => 1 + prost::length_delimiter_len(n) + n,
    };
    let push_len = channel_len + 1 + prost::length_delimiter_len(publication_len) + publication_len;
    let reply_len = 1 + prost::length_delimiter_len(push_len) + push_len;
    out.reserve(prost::length_delimiter_len(reply_len) + reply_len);
    encode_varint(reply_len as u64, out);
    key(out, 4);
    encode_varint(push_len as u64, out);
    string(out, 2, channel);
    key(out, 4);
    encode_varint(publication_len as u64, out);
    publication.encode_raw(out);
}

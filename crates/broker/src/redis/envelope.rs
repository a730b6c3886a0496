//! What is written to Redis: publications, joins and leaves as bytes.
//!
//! In a stream stands an [`Envelope`] alone, its offset is the entry's id. In
//! pub/sub a line with the position comes first, `offset:epoch\n`, which is empty
//! without a position: the script that knows the position can write it without
//! knowing the encoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use prost::Message;

use crate::{ClientInfo, Publication, PublishRequest};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(btree_map = "string, string", tag = "3")]
    tags: BTreeMap<String, String>,
    #[prost(int64, tag = "4")]
    time: i64,
    #[prost(string, optional, tag = "5")]
    ends_user: Option<String>,
    #[prost(string, optional, tag = "6")]
    traceparent: Option<String>,
    #[prost(enumeration = "Kind", tag = "7")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    client: String,
    #[prost(bytes = "bytes", tag = "3")]
    conn_info: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    chan_info: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Publication = 0,
    Join = 1,
    Leave = 2,
}

/// What an envelope holds.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    Publication(Publication),
    Membership { joined: bool, info: ClientInfo },
}

/// The line before an envelope in pub/sub.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Header<'a> {
    pub(super) offset: u64,
    pub(super) epoch: &'a str,
}

/// Encodes a publication; its offset is not in it.
pub(super) fn encode_publication(request: PublishRequest, time: i64) -> Vec<u8> {
    envelope_of(request, time).encode_to_vec()
}

/// The same for what is published without a position, with its empty header.
pub(super) fn encode_message(request: PublishRequest, time: i64) -> Vec<u8> {
    with_empty_header(&envelope_of(request, time))
}

/// Encodes a join or leave, with its empty header.
pub(super) fn encode_membership(joined: bool, info: &ClientInfo) -> Vec<u8> {
    let kind = if joined { Kind::Join } else { Kind::Leave };
    with_empty_header(&Envelope {
        info: Some(info.into()),
        kind: kind.into(),
        ..Envelope::default()
    })
}

fn envelope_of(request: PublishRequest, time: i64) -> Envelope {
    Envelope {
        data: request.data,
        info: request.info.as_deref().map(Info::from),
        tags: request.tags,
        time,
        ends_user: request.ends_user.map(|user| user.as_ref().to_owned()),
        traceparent: request.traceparent.map(String::from),
        kind: Kind::Publication.into(),
    }
}

fn with_empty_header(envelope: &Envelope) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 + envelope.encoded_len());
    message.push(b'\n');
    envelope.encode_raw(&mut message);
    message
}

/// Decodes an envelope without copying its payload; `None` if it is damaged or of
/// an unknown kind.
pub(super) fn decode(bytes: Bytes) -> Option<Content> {
    let envelope = Envelope::decode(bytes).ok()?;
    let membership = |info: Option<Info>, joined| {
        let info = info?.into();
        Some(Content::Membership { joined, info })
    };
    match Kind::try_from(envelope.kind).ok()? {
        Kind::Publication => Some(Content::Publication(Publication {
            offset: 0,
            data: envelope.data,
            info: envelope.info.map(|info| Arc::new(info.into())),
            tags: envelope.tags,
            time: envelope.time,
            ends_user: envelope.ends_user.map(Arc::from),
            traceparent: envelope.traceparent.map(String::into_boxed_str),
        })),
        Kind::Join => membership(envelope.info, true),
        Kind::Leave => membership(envelope.info, false),
    }
}

/// Takes a pub/sub message apart into its header and its envelope.
pub(super) fn split(message: &Bytes) -> Option<(Header<'_>, Bytes)> {
    let end = message.iter().position(|&byte| byte == b'\n')?;
    let header = if end == 0 {
        Header::default()
    } else {
        let (offset, epoch) = std::str::from_utf8(&message[..end]).ok()?.split_once(':')?;
        Header {
            offset: offset.parse().ok()?,
            epoch,
        }
    };
    let mut envelope = message.clone();
    envelope.advance(end + 1);
    Some((header, envelope))
}

/// Encodes a client for the presence.
pub(super) fn encode_info(info: &ClientInfo) -> Vec<u8> {
    Info::from(info).encode_to_vec()
}

/// Decodes what [`encode_info`] made.
pub(super) fn decode_info(bytes: Bytes) -> Option<ClientInfo> {
    Info::decode(bytes).ok().map(ClientInfo::from)
}

impl From<&ClientInfo> for Info {
    fn from(info: &ClientInfo) -> Self {
        Self {
            user: info.user.clone(),
            client: info.client.clone(),
            conn_info: info.conn_info.clone(),
            chan_info: info.chan_info.clone(),
        }
    }
}

impl From<Info> for ClientInfo {
    fn from(info: Info) -> Self {
        Self {
            user: info.user,
            client: info.client,
            conn_info: info.conn_info,
            chan_info: info.chan_info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shared_and_not_copied() {
        let request = PublishRequest {
            data: Bytes::from_static(b"a payload that is a bit longer than the others"),
            ..PublishRequest::default()
        };
        let message = Bytes::from(encode_message(request, 7));
        let (header, envelope) = split(&message).unwrap();
        assert_eq!(header, Header::default());
        let Some(Content::Publication(publication)) = decode(envelope) else {
            panic!("not a publication");
        };
        assert_eq!(publication.time, 7);
        let within = message.as_ptr_range();
        assert!(within.contains(&publication.data.as_ptr()));
    }

    #[test]
    fn damaged_messages_are_refused() {
        let split_static = |message: &'static [u8]| split(&Bytes::from_static(message)).is_some();
        assert!(split_static(b"12:epoch\n"));
        for message in [
            &b""[..],
            b"no line",
            b"x:epoch\n",
            b"-1:e\n",
            b"12\n",
            b"\xff:e\n",
        ] {
            assert!(!split_static(message), "{message:?}");
        }
        assert_eq!(decode(Bytes::from_static(b"\x0a\xff")), None);
        // Kind 9; a join of nobody.
        assert_eq!(decode(Bytes::from_static(b"\x38\x09")), None);
        assert_eq!(decode(Bytes::from_static(b"\x38\x01")), None);
    }
}

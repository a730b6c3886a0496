//! Pushes as frames: encoded once per format, whatever the number of listeners.

use std::sync::Arc;

use broker::Publication;
use bytes::Bytes;
use wire::{Disconnect, Format, Push, PushBody, Reply, ReplyBody};

use crate::connection::{Closing, Connection};
use crate::convert;

/// One push in all the formats that are asked for.
pub(super) struct Encoded<'a> {
    source: Source<'a>,
    json: Option<Option<Bytes>>,
    protobuf: Option<Option<Bytes>>,
}

enum Source<'a> {
    Publication {
        channel: &'a str,
        publication: Box<wire::Publication>,
    },
    Membership(Box<Reply>),
}

impl<'a> Encoded<'a> {
    pub(super) fn publication(
        channel: &'a str,
        epoch: &Arc<str>,
        publication: &Publication,
    ) -> Self {
        let publication = Box::new(convert::publication(publication, epoch));
        Self::new(Source::Publication {
            channel,
            publication,
        })
    }

    pub(super) fn membership(channel: &str, joined: bool, info: &broker::ClientInfo) -> Self {
        let info = convert::client_info(info);
        let body = if joined {
            PushBody::Join(wire::Join { info })
        } else {
            PushBody::Leave(wire::Leave { info })
        };
        let push = Push {
            channel: channel.into(),
            body,
        };
        Self::new(Source::Membership(Box::new(Reply {
            id: 0,
            body: ReplyBody::Push(push),
        })))
    }

    fn new(source: Source<'a>) -> Self {
        Self {
            source,
            json: None,
            protobuf: None,
        }
    }

    /// The frame; `None` if the payload cannot be said in this format.
    pub(super) fn for_format(&mut self, format: Format) -> Option<&Bytes> {
        let slot = match format {
            Format::Json => &mut self.json,
            Format::Protobuf => &mut self.protobuf,
        };
        let source = &self.source;
        slot.get_or_insert_with(|| source.encode(format)).as_ref()
    }
}

impl Source<'_> {
    fn encode(&self, format: Format) -> Option<Bytes> {
        let mut message = Vec::new();
        let encoded = match self {
            Self::Publication {
                channel,
                publication,
            } => wire::encode_publication_push(format, channel, publication, &mut message),
            Self::Membership(reply) => wire::encode_reply(format, reply, &mut message),
        };
        encoded.ok().map(|()| Connection::frame(format, &message))
    }
}

/// Closes a connection whose format cannot carry a payload.
pub(super) fn refuse(connection: &Arc<Connection>) {
    connection.close(Closing::Disconnect(Disconnect::INAPPROPRIATE_PROTOCOL));
}

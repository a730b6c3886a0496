//! Publications that are delivered together: encoded once per format, whatever the
//! number of listeners, into frames that lie one behind the other, so that a
//! listener gets all of them with one write.

use std::sync::{Arc, OnceLock};

use broker::Publication;
use bytes::Bytes;
use tracing::Span;
use wire::{Disconnect, Format, Push, PushBody, Reply, ReplyBody};

use super::listeners::Listener;
use crate::connection::{Closing, Connection, Overflow, Sent};
use crate::convert;
use crate::websocket::frame;

/// Payload after which a block is sent. More in one write brings nothing
/// measurable, and a listener's outbox is bounded.
const FULL: usize = 64 * 1024;

/// Room for what stands around a payload: names of fields, the publisher's ids.
const AROUND: usize = 192;

/// See the module.
#[derive(Debug)]
pub(super) struct Block {
    channel: Arc<str>,
    publications: Vec<wire::Publication>,
    /// Traces that began at a publisher and end here, however many listen.
    traces: Vec<Box<str>>,
    /// Payload bytes.
    size: usize,
    json: OnceLock<Frames>,
    protobuf: OnceLock<Frames>,
}

/// The frames of a block in one format.
#[derive(Debug)]
struct Frames {
    bytes: Bytes,
    /// Where each ends. Fewer than there are publications: the next one cannot be
    /// said in this format.
    ends: Vec<usize>,
}

impl Block {
    pub(super) fn new(channel: &Arc<str>) -> Self {
        Self {
            channel: Arc::clone(channel),
            publications: Vec::new(),
            traces: Vec::new(),
            size: 0,
            json: OnceLock::new(),
            protobuf: OnceLock::new(),
        }
    }

    /// How many publications are in it.
    pub(super) fn len(&self) -> usize {
        self.publications.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.size >= FULL
    }

    pub(super) fn add(&mut self, epoch: &Arc<str>, publication: &Publication) {
        self.size += publication.data.len();
        self.traces.extend(publication.traceparent.clone());
        self.publications
            .push(convert::publication(publication, epoch));
    }

    /// Empties it; it may be filled again.
    pub(super) fn clear(&mut self) {
        *self = Self::new(&self.channel);
    }

    /// The spans of the deliveries, as long as they are held.
    pub(super) fn spans(&self) -> Vec<Span> {
        let spans = self.traces.iter().map(|traceparent| {
            let span = tracing::info_span!("deliver", otel.kind = "consumer");
            runtime::trace::set_parent(&span, traceparent);
            span
        });
        spans.collect()
    }

    /// Sends these listeners what they do not have yet. Returns how many publications
    /// were dropped.
    pub(super) fn send_to<'a>(
        &self,
        listeners: impl Iterator<Item = &'a Listener>,
        overflow: Overflow,
    ) -> u64 {
        listeners
            .map(|one| self.send(&one.connection, one.after, overflow))
            .sum()
    }

    /// Sends a connection what it does not have yet: publications after the offset
    /// `after`, and those without one. Returns how many were dropped.
    pub(super) fn send(&self, connection: &Arc<Connection>, after: u64, overflow: Overflow) -> u64 {
        let format = connection.format();
        let frames = match format {
            Format::Json => &self.json,
            Format::Protobuf => &self.protobuf,
        };
        let publications = &self.publications;
        let frames = frames.get_or_init(|| Frames::encode(format, &self.channel, publications));
        let is_new = |one: &wire::Publication| one.offset == 0 || one.offset > after;
        let mut dropped = 0;
        if publications.iter().all(is_new) {
            if !frames.bytes.is_empty() && connection.send(&frames.bytes, overflow) == Sent::Dropped
            {
                dropped = frames.ends.len() as u64;
            }
        } else {
            // It has the beginning from its subscribe reply.
            let mut start = 0;
            for (publication, &end) in publications.iter().zip(&frames.ends) {
                let one = frames.bytes.slice(start..end);
                start = end;
                if is_new(publication) && connection.send(&one, overflow) == Sent::Dropped {
                    dropped += 1;
                }
            }
        }
        if frames.ends.len() < publications.len() {
            connection.close(Closing::Disconnect(Disconnect::INAPPROPRIATE_PROTOCOL));
        }
        dropped
    }
}

impl Frames {
    fn encode(format: Format, channel: &str, publications: &[wire::Publication]) -> Self {
        let largest = publications.iter().map(|one| one.data.len()).max();
        let message_size = largest.unwrap_or(0) + channel.len() + AROUND;
        let mut message = Vec::with_capacity(message_size);
        let payloads: usize = publications.iter().map(|one| one.data.len()).sum();
        let around = (channel.len() + AROUND) * publications.len();
        let mut frames = Vec::with_capacity(payloads + around);
        let mut ends = Vec::with_capacity(publications.len());
        for publication in publications {
            message.clear();
            if wire::encode_publication_push(format, channel, publication, &mut message).is_err() {
                break;
            }
            frame::append_data(&mut frames, Connection::opcode(format), &message);
            ends.push(frames.len());
        }
        Self {
            bytes: frames.into(),
            ends,
        }
    }
}

/// A join or a leave, encoded once per format.
pub(super) struct Membership {
    reply: Reply,
    json: Option<Option<Bytes>>,
    protobuf: Option<Option<Bytes>>,
}

impl Membership {
    pub(super) fn new(channel: &str, joined: bool, info: &broker::ClientInfo) -> Self {
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
        Self {
            reply: Reply {
                id: 0,
                body: ReplyBody::Push(push),
            },
            json: None,
            protobuf: None,
        }
    }

    /// The frame; `None` if it cannot be said in this format.
    pub(super) fn for_format(&mut self, format: Format) -> Option<&Bytes> {
        let slot = match format {
            Format::Json => &mut self.json,
            Format::Protobuf => &mut self.protobuf,
        };
        let reply = &self.reply;
        let frame = slot.get_or_insert_with(|| {
            let mut message = Vec::new();
            wire::encode_reply(format, reply, &mut message).ok()?;
            Some(Connection::frame(format, &message))
        });
        frame.as_ref()
    }
}

//! The Centrifuge client protocol, as its SDKs speak it: connect, then subscribe after the reply,
//! answer pings when told to.
//!
//! Pushes are not parsed: a message that begins as a push and holds a marker is a publication.
//! Everything else is rare and decoded by the `wire` crate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;
use wire::{
    Command, ConnectRequest, Format, PublishRequest, PushBody, ReplyBody, Request, RpcRequest,
    SubscribeRequest, SubscribeResult, decode_replies, empty_command, encode_command,
};

use super::{Channels, Context, Dialect, Events, Phase, Position, Role, Session, put};
use crate::frame::Opcode;

/// How long a token is good for.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The dialect of Fanfare and Centrifugo.
#[derive(Debug)]
pub struct Centrifuge {
    format: Format,
    channels: Channels,
    /// Key of tokens; without it clients are anonymous.
    secret: Option<String>,
    /// Whether subscriptions are to be recovered.
    recoverable: bool,
}

impl Centrifuge {
    /// In this format, with these channels; each client is a user of its own if there is a secret
    /// to sign tokens with.
    #[must_use]
    pub fn new(
        format: Format,
        channels: Channels,
        secret: Option<String>,
        recoverable: bool,
    ) -> Self {
        Self {
            format,
            channels,
            secret,
            recoverable,
        }
    }

    fn opcode(&self) -> Opcode {
        match self.format {
            Format::Json => Opcode::Text,
            Format::Protobuf => Opcode::Binary,
        }
    }

    /// What every push begins with: its field, as there is no id before it.
    fn push_start(&self) -> &'static [u8] {
        match self.format {
            Format::Json => br#"{"push""#,
            Format::Protobuf => &[4 << 3 | 2],
        }
    }

    fn command(&self, session: &mut Session, context: &mut Context<'_>, request: Request) -> u32 {
        let id = session.next_id();
        let command = Command {
            id,
            request: Some(request),
        };
        let mut message = Vec::new();
        match encode_command(self.format, &command, &mut message) {
            Ok(()) => context.send(self.opcode(), &message),
            Err(error) => context.fail(error.to_string()),
        }
        id
    }

    fn subscribe(&self, session: &mut Session, context: &mut Context<'_>) {
        let position = session.position.take();
        let mut request = SubscribeRequest {
            channel: self.channels.name(session.channel),
            recoverable: self.recoverable,
            positioned: self.recoverable,
            ..SubscribeRequest::default()
        };
        if let Some(position) = position {
            request.recover = true;
            request.epoch = position.epoch;
            request.offset = position.offset;
        }
        self.command(session, context, Request::Subscribe(request));
    }

    /// Handles one message that is not a publication: `bytes` are the message, as a frame.
    fn other(
        &self,
        session: &mut Session,
        bytes: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        for reply in decode_replies(self.format, bytes) {
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) => return context.fail(format!("a reply is not understood: {error}")),
            };
            match reply.body {
                ReplyBody::Ping => self.ping(session, context),
                ReplyBody::Connect(result) => {
                    session.answers_pings = result.pong;
                    context.pings_every(Duration::from_secs(result.ping.into()));
                    match session.role {
                        Role::Listener => {
                            session.phase = Phase::Authenticated;
                            self.subscribe(session, context);
                        }
                        Role::Publisher => context.ready(session),
                    }
                }
                ReplyBody::Subscribe(result) => {
                    self.subscribed(session, &result, context, events);
                }
                ReplyBody::Error(error) if session.phase != Phase::Ready => {
                    context.fail(format!("refused: {} {}", error.code.0, error.message));
                }
                ReplyBody::Error(error) => {
                    let error = format!("{} {}", error.code.0, error.message);
                    events.reply(session, reply.id, Err(&error), context.now);
                }
                ReplyBody::Push(push) => match push.body {
                    PushBody::Publication(publication) => {
                        context.deliver(session, &publication.data, events);
                    }
                    PushBody::Disconnect(push) => {
                        context.fail(format!("disconnected: {} {}", push.code, push.reason));
                    }
                    PushBody::Unsubscribe(push) => {
                        context.fail(format!("unsubscribed: {} {}", push.code, push.reason));
                    }
                    _ => {}
                },
                _ => events.reply(session, reply.id, Ok(()), context.now),
            }
        }
    }

    fn subscribed(
        &self,
        session: &mut Session,
        result: &SubscribeResult,
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        if result.was_recovering && !result.recovered {
            return context.fail("what was missed is not recovered");
        }
        if self.recoverable && !result.recoverable {
            return context.fail("the channel has no recovery");
        }
        for publication in &result.publications {
            context.deliver(session, &publication.data, events);
        }
        if result.recoverable {
            session.position = Some(Box::new(Position {
                epoch: result.epoch.clone(),
                offset: result.offset,
            }));
        }
        context.ready(session);
    }

    fn ping(&self, session: &Session, context: &mut Context<'_>) {
        context.pinged();
        if session.answers_pings {
            context.send(self.opcode(), empty_command(self.format));
        }
    }
}

impl Dialect for Centrifuge {
    fn subprotocol(&self) -> Option<&'static str> {
        match self.format {
            Format::Json => None,
            Format::Protobuf => Some(Format::Protobuf.subprotocol()),
        }
    }

    fn opened(&self, session: &mut Session, context: &mut Context<'_>) {
        let token = self.secret.as_ref().map(|secret| {
            let kind = match session.role {
                Role::Listener => "listener",
                Role::Publisher => "publisher",
            };
            sign_token(secret, &format!("{kind}-{}", session.number))
        });
        let request = ConnectRequest {
            token: token.unwrap_or_default(),
            name: "fanfare-bench".to_owned(),
            ..ConnectRequest::default()
        };
        self.command(session, context, Request::Connect(request));
    }

    fn receive(
        &self,
        session: &mut Session,
        message: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        let mut rest = message;
        while !rest.is_empty() {
            let Some(length) = first_message(self.format, rest) else {
                return context.fail("a message is cut off");
            };
            let (bytes, after) = rest.split_at(length.whole);
            rest = after;
            let body = &bytes[length.before..length.before + length.body];
            let delivered =
                body.starts_with(self.push_start()) && context.deliver(session, body, events) > 0;
            if !delivered {
                match (self.format, body) {
                    (Format::Json, b"{}") | (Format::Protobuf, b"") => {
                        self.ping(session, context);
                    }
                    (Format::Json, body) => self.other(session, body, context, events),
                    (Format::Protobuf, _) => self.other(session, bytes, context, events),
                }
            }
        }
    }

    fn publish(
        &self,
        session: &mut Session,
        channel: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        match self.format {
            // What is published most is written without a detour.
            Format::Json => {
                let id = session.next_id();
                let mut message = Vec::with_capacity(payload.len() + channel.len() + 64);
                put(
                    &mut message,
                    format_args!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":"#),
                );
                message.extend_from_slice(payload);
                message.extend_from_slice(b"}}");
                context.send(Opcode::Text, &message);
                Some(id)
            }
            Format::Protobuf => {
                let request = PublishRequest {
                    channel: channel.to_owned(),
                    data: Bytes::copy_from_slice(payload),
                    ..PublishRequest::default()
                };
                Some(self.command(session, context, Request::Publish(request)))
            }
        }
    }

    fn call(
        &self,
        session: &mut Session,
        method: &str,
        data: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        let request = RpcRequest {
            method: method.to_owned(),
            data: Bytes::copy_from_slice(data),
        };
        Some(self.command(session, context, Request::Rpc(request)))
    }
}

/// A token for a user: `listener-N`, `publisher-N`.
#[must_use]
pub fn sign_token(secret: &str, user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let expires = now.unwrap_or_default() + TOKEN_LIFE;
    auth::sign_hs256(secret, &json!({ "sub": user, "exp": expires.as_secs() }))
}

/// Where the first message of a frame is.
struct Extent {
    /// Bytes before its body.
    before: usize,
    /// Bytes of its body.
    body: usize,
    /// Bytes up to the next message.
    whole: usize,
}

#[inline]
fn first_message(format: Format, bytes: &[u8]) -> Option<Extent> {
    match format {
        Format::Json => {
            let end = memchr::memchr(b'\n', bytes);
            let body = end.unwrap_or(bytes.len());
            Some(Extent {
                before: 0,
                body,
                whole: body + usize::from(end.is_some()),
            })
        }
        Format::Protobuf => {
            let (before, body) = read_varint(bytes)?;
            let whole = before.checked_add(body)?;
            (whole <= bytes.len()).then_some(Extent {
                before,
                body,
                whole,
            })
        }
    }
}

/// The bytes of a varint, and its value.
#[inline]
fn read_varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (place, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((place + 1, value));
        }
    }
    None
}

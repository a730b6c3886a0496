//! Frames: several messages in one piece.

use prost::Message as _;

use crate::command::Command;
use crate::envelope::{CommandFields, ReplyFields};
use crate::format::Format;
use crate::json;
use crate::protobuf;
use crate::publication::Publication;
use crate::reply::Reply;

/// Why a received frame, or a message in it, cannot be understood.
///
/// Contains nothing of the frame's content, so that it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame has no message.
    #[error("empty frame")]
    Empty,
    /// A message claims to be longer than the frame, or its length is not a number.
    #[error("message is cut off")]
    Truncated,
    /// A line of the frame is not a message in JSON.
    #[error("not a message in JSON, at column {column}")]
    Json {
        /// Where in the line, in bytes from 1.
        column: usize,
    },
    /// The bytes are not a message in Protobuf.
    #[error("not a message in Protobuf")]
    Protobuf,
    /// A reply or push has none of the bodies that the protocol knows.
    #[error("message has no known body")]
    NoBody,
}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A payload is not a JSON value, and so cannot be sent to a JSON client.
    #[error("payload is not JSON")]
    NotJson,
}

/// Takes a received frame apart into commands.
///
/// The iterator ends after its first error; a frame without any message is an error. Memory is
/// allocated for what is there, never by a length that the frame merely announces. A command
/// takes about as much memory as its bytes; one made to cost, of thousands of empty filter nodes,
/// up to 128 times as much, for as long as it is kept.
#[must_use]
pub fn decode_commands(format: Format, frame: &[u8]) -> Commands<'_> {
    Commands(Messages::new(format, frame))
}

/// Takes a received frame apart into replies, as [`decode_commands`] does into commands.
#[must_use]
pub fn decode_replies(format: Format, frame: &[u8]) -> Replies<'_> {
    Replies(Messages::new(format, frame))
}

/// Appends one reply to `out`; with its length in front in Protobuf, without line break in JSON.
///
/// Several make a frame when [`join`] stands between them. Every payload is checked once.
///
/// # Errors
/// [`EncodeError::NotJson`] when a payload cannot be sent to a JSON client; `out` is unchanged.
pub fn encode_reply(format: Format, reply: &Reply, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match format {
        Format::Json => all_or_nothing(out, |out| json::write_reply(reply, out)),
        Format::Protobuf => {
            protobuf::write_reply(reply, out);
            Ok(())
        }
    }
}

/// Appends one command to `out`, as [`encode_reply`] does with a reply.
///
/// # Errors
/// [`EncodeError::NotJson`] when a payload is not JSON but the format is; `out` is unchanged.
pub fn encode_command(
    format: Format,
    command: &Command,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match format {
        Format::Json => all_or_nothing(out, |out| json::write_command(command, out)),
        Format::Protobuf => {
            protobuf::write_command(command, out);
            Ok(())
        }
    }
}

/// Appends the push of a publication to `out`.
///
/// The bytes are those of [`encode_reply`], but nothing is cloned into a [`Reply`] before, and
/// nothing is allocated but `out`: this is what fan-out does most.
///
/// # Errors
/// [`EncodeError::NotJson`] when a payload cannot be sent to a JSON client; `out` is unchanged.
pub fn encode_publication_push(
    format: Format,
    channel: &str,
    publication: &Publication,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match format {
        Format::Json => all_or_nothing(out, |out| {
            json::write_publication_push(channel, publication, out)
        }),
        Format::Protobuf => {
            protobuf::write_publication_push(channel, publication, out);
            Ok(())
        }
    }
}

/// One empty command, as official SDKs write it: the answer to a ping.
#[must_use]
pub fn empty_command(format: Format) -> &'static [u8] {
    match format {
        Format::Json => b"{}",
        Format::Protobuf => &[0],
    }
}

/// Appends what stands between two messages of one frame.
pub fn join(format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Json => out.push(b'\n'),
        Format::Protobuf => {}
    }
}

fn all_or_nothing(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}

/// The commands of a frame. See [`decode_commands`].
#[derive(Debug)]
pub struct Commands<'a>(Messages<'a>);

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|format, message| match format {
            Format::Json => json::read_command(message),
            Format::Protobuf => {
                let fields = CommandFields::decode(message).map_err(not_protobuf)?;
                Ok(fields.into())
            }
        })
    }
}

/// The replies of a frame. See [`decode_replies`].
#[derive(Debug)]
pub struct Replies<'a>(Messages<'a>);

impl Iterator for Replies<'_> {
    type Item = Result<Reply, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|format, message| {
            let fields = match format {
                Format::Json => json::from_line::<ReplyFields>(message)?,
                Format::Protobuf => ReplyFields::decode(message).map_err(not_protobuf)?,
            };
            fields.try_into()
        })
    }
}

fn not_protobuf(_: prost::DecodeError) -> DecodeError {
    DecodeError::Protobuf
}

/// The pieces of a frame, still encoded.
#[derive(Debug)]
struct Messages<'a> {
    format: Format,
    rest: &'a [u8],
    /// Where the iterator is: before the first message, between messages, or at the end.
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    First,
    More,
    Done,
}

impl<'a> Messages<'a> {
    fn new(format: Format, frame: &'a [u8]) -> Self {
        Self {
            format,
            rest: frame,
            state: State::First,
        }
    }

    fn next<T>(
        &mut self,
        decode: impl FnOnce(Format, &'a [u8]) -> Result<T, DecodeError>,
    ) -> Option<Result<T, DecodeError>> {
        let first = match self.state {
            State::First => true,
            State::More => false,
            State::Done => return None,
        };
        if self.rest.is_empty() {
            self.state = State::Done;
            return first.then_some(Err(DecodeError::Empty));
        }
        let result = self
            .split()
            .and_then(|message| decode(self.format, message));
        self.state = if result.is_ok() {
            State::More
        } else {
            State::Done
        };
        Some(result)
    }

    /// Takes the next message off the frame.
    fn split(&mut self) -> Result<&'a [u8], DecodeError> {
        match self.format {
            Format::Json => {
                let end = self.rest.iter().position(|&byte| byte == b'\n');
                let (line, rest) = match end {
                    Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                    None => (self.rest, &[][..]),
                };
                self.rest = rest;
                if line.trim_ascii().is_empty() {
                    return Err(DecodeError::Empty);
                }
                Ok(line)
            }
            Format::Protobuf => {
                let mut rest = self.rest;
                let length = prost::decode_length_delimiter(&mut rest)
                    .map_err(|_| DecodeError::Truncated)?;
                let (message, rest) = rest
                    .split_at_checked(length)
                    .ok_or(DecodeError::Truncated)?;
                self.rest = rest;
                Ok(message)
            }
        }
    }
}

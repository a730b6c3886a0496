//! What holds for every message and for every input.

use std::fmt::Debug;

use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use prost_reflect::DynamicMessage;
use wire::{
    Command, DecodeError, EncodeError, Format, Publication, Push, PushBody, Reply, decode_commands,
    decode_replies, encode_command, encode_publication_push, encode_reply, join,
};

use crate::schema::{self, Tape};

trait Codec: Sized + PartialEq + Debug {
    const NAME: &str;
    fn decode(format: Format, frame: &[u8]) -> Result<Vec<Self>, DecodeError>;
    fn encode(&self, format: Format, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

impl Codec for Command {
    const NAME: &str = "Command";

    fn decode(format: Format, frame: &[u8]) -> Result<Vec<Self>, DecodeError> {
        decode_commands(format, frame).collect()
    }

    fn encode(&self, format: Format, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_command(format, self, out)
    }
}

impl Codec for Reply {
    const NAME: &str = "Reply";

    fn decode(format: Format, frame: &[u8]) -> Result<Vec<Self>, DecodeError> {
        decode_replies(format, frame).collect()
    }

    fn encode(&self, format: Format, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_reply(format, self, out)
    }
}

fn one<T: Codec>(format: Format, frame: &[u8]) -> T {
    let mut messages = T::decode(format, frame).expect("it is one message");
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

/// From a message of the schema to ours and back, by way of both formats.
fn agrees_with_the_schema<T: Codec>(tape: &[u8]) -> Result<(), TestCaseError> {
    let descriptor = schema::descriptor(T::NAME);
    let dynamic = schema::envelope(&descriptor, &mut Tape::new(tape));
    let frame = prost::Message::encode_length_delimited_to_vec(&dynamic);
    let message: T = one(Format::Protobuf, &frame);

    let mut protobuf = Vec::new();
    message
        .encode(Format::Protobuf, &mut protobuf)
        .expect("bytes can be anything");
    let body = prost::decode_length_delimiter(&protobuf[..])
        .map(|length| &protobuf[protobuf.len() - length..])
        .expect("it begins with its length");
    let again = DynamicMessage::decode(descriptor, body).expect("the schema understands it");
    prop_assert_eq!(schema::to_json(&again), schema::to_json(&dynamic));
    prop_assert!(again.unknown_fields().next().is_none());

    let mut json = Vec::new();
    message
        .encode(Format::Json, &mut json)
        .expect("its payloads are JSON");
    prop_assert!(!json.contains(&b'\n'));
    let parsed: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    prop_assert_eq!(parsed, schema::to_json(&dynamic));
    prop_assert_eq!(one::<T>(Format::Json, &json), message);
    Ok(())
}

fn tape() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..600)
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![
        proptest::strategy::Just(Format::Json),
        proptest::strategy::Just(Format::Protobuf)
    ]
}

proptest! {
    #[test]
    fn commands_agree_with_the_schema(tape in tape()) {
        agrees_with_the_schema::<Command>(&tape)?;
    }

    #[test]
    fn replies_agree_with_the_schema(tape in tape()) {
        agrees_with_the_schema::<Reply>(&tape)?;
    }

    /// Several messages in one frame are the same messages, in order.
    #[test]
    fn frames_come_apart_as_they_were_joined(
        tapes in proptest::collection::vec(tape(), 1..5),
        format in format(),
    ) {
        let descriptor = schema::descriptor("Reply");
        let mut replies = Vec::new();
        let mut frame = Vec::new();
        for (i, tape) in tapes.iter().enumerate() {
            let dynamic = schema::envelope(&descriptor, &mut Tape::new(tape));
            let bytes = prost::Message::encode_length_delimited_to_vec(&dynamic);
            let reply: Reply = one(Format::Protobuf, &bytes);
            if i > 0 {
                join(format, &mut frame);
            }
            reply.encode(format, &mut frame).expect("its payloads are JSON");
            replies.push(reply);
        }
        prop_assert_eq!(Reply::decode(format, &frame), Ok(replies));
    }

    /// The short way of fan-out writes the same bytes as the long one.
    #[test]
    fn both_ways_to_push_a_publication_agree(tape in tape(), channel in ".{0,12}", format in format()) {
        let descriptor = schema::descriptor("Publication");
        let dynamic = schema::message(&descriptor, &mut Tape::new(&tape), 3);
        let publication: Publication = dynamic.transcode_to().expect("the same message");
        let mut short = b"before".to_vec();
        encode_publication_push(format, &channel, &publication, &mut short)
            .expect("its payloads are JSON");
        let mut long = b"before".to_vec();
        let body = PushBody::Publication(publication);
        encode_reply(format, &Reply::push(Push { channel, body }), &mut long)
            .expect("its payloads are JSON");
        prop_assert_eq!(short, long);
    }

    /// Whatever arrives is understood or refused; what is understood can be written again.
    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        format in format(),
    ) {
        for command in decode_commands(format, &bytes).flatten() {
            command.encode(format, &mut Vec::new()).expect("its payloads were checked");
        }
        for reply in decode_replies(format, &bytes).flatten() {
            reply.encode(format, &mut Vec::new()).expect("its payloads were checked");
        }
    }

    /// The same for messages that are nearly right.
    #[test]
    fn damaged_messages_are_decoded_or_refused(
        tape in tape(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<proptest::sample::Index>(),
        format in format(),
    ) {
        let dynamic = schema::envelope(&schema::descriptor("Command"), &mut Tape::new(&tape));
        let bytes = prost::Message::encode_length_delimited_to_vec(&dynamic);
        let command: Command = one(Format::Protobuf, &bytes);
        let mut frame = Vec::new();
        command.encode(format, &mut frame).expect("its payloads are JSON");
        let at = at.index(frame.len());
        frame[at] = byte;
        frame.truncate(cut.index(frame.len()) + 1);
        for command in decode_commands(format, &frame).flatten() {
            command.encode(format, &mut Vec::new()).expect("its payloads were checked");
        }
    }
}

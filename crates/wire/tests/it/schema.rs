//! Messages made at random from the schema, and what they are in JSON: an account of the protocol
//! that shares nothing with the codecs.

use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, Value,
};
use serde_json::Value as Json;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let files = protox::compile(["client.proto"], [tests]).expect("the schema is correct");
    DescriptorPool::from_file_descriptor_set(files).expect("the schema is complete")
});

pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("wire.test.{name}"))
        .expect("the schema has the message")
}

/// Decisions, read off a tape of random bytes; when it ends, everything is zero.
pub(crate) struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn chance(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn number(&mut self) -> u64 {
        let wide = u64::from_le_bytes(std::array::from_fn(|_| self.byte()));
        wide >> (self.byte() % 64)
    }

    fn text(&mut self) -> String {
        const TEXTS: [&str; 8] = [
            "",
            "a",
            "news",
            "chat:42",
            "\"\\/\u{8}\n\r\t\0\u{1f}",
            "é\u{2028}😀",
            "$x#1,2",
            "null",
        ];
        TEXTS[usize::from(self.byte() % 8)].to_owned()
    }

    fn payload(&mut self) -> &'static str {
        const PAYLOADS: [&str; 8] = [
            "",
            "null",
            "{\"a\":[1,2.50,-3e7,{\"b\":null}]}",
            "\"text with \\n and \\u00e9\"",
            "12345678901234567890123",
            "[]",
            "true",
            "{ \"spaced\" : \t1 }",
        ];
        PAYLOADS[usize::from(self.byte() % 8)]
    }
}

/// A message with some of its fields set.
pub(crate) fn message(of: &MessageDescriptor, tape: &mut Tape<'_>, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        if tape.chance()
            && let Some(value) = value(&field, tape, depth)
        {
            message.set_field(&field, value);
        }
    }
    message
}

/// A command or reply with exactly one body.
pub(crate) fn envelope(of: &MessageDescriptor, tape: &mut Tape<'_>) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    let bodies: Vec<FieldDescriptor> = of
        .fields()
        .filter(|field| matches!(field.kind(), Kind::Message(_)))
        .collect();
    let body = &bodies[usize::from(tape.byte()) % bodies.len()];
    let Kind::Message(kind) = body.kind() else {
        unreachable!("only messages were kept");
    };
    let content = if kind.name() == "Push" {
        let mut push = envelope(&kind, tape);
        push.set_field_by_name("channel", Value::String(tape.text()));
        push
    } else {
        self::message(&kind, tape, 3)
    };
    message.set_field(body, Value::Message(content));
    if of.name() != "Push" && body.name() != "push" {
        let id = u32::try_from(tape.number() >> 32).unwrap_or(1);
        message.set_field_by_name("id", Value::U32(id.max(1)));
    }
    message
}

fn value(field: &FieldDescriptor, tape: &mut Tape<'_>, depth: usize) -> Option<Value> {
    if matches!(field.kind(), Kind::Message(_)) && depth == 0 {
        return None;
    }
    let n = tape.byte() % 3;
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let of = entry.map_entry_value_field();
        let entries = (0..n).filter_map(|_| {
            let key = MapKey::String(tape.text());
            Some((key, single(&of, tape, depth)?))
        });
        Some(Value::Map(entries.collect()))
    } else if field.is_list() {
        let items = (0..n).filter_map(|_| single(field, tape, depth));
        Some(Value::List(items.collect()))
    } else {
        single(field, tape, depth)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "any number will do"
)]
fn single(field: &FieldDescriptor, tape: &mut Tape<'_>, depth: usize) -> Option<Value> {
    Some(match field.kind() {
        Kind::Bool => Value::Bool(tape.chance()),
        Kind::Uint32 => Value::U32(tape.number() as u32),
        Kind::Int32 => Value::I32(tape.number() as i32),
        Kind::Uint64 => Value::U64(tape.number()),
        Kind::Int64 | Kind::Sint64 => Value::I64(tape.number() as i64),
        Kind::String => Value::String(tape.text()),
        Kind::Bytes => Value::Bytes(tape.payload().into()),
        Kind::Message(of) if depth > 0 => Value::Message(message(&of, tape, depth - 1)),
        _ => return None,
    })
}

/// What a message is in JSON: see "JSON" in `docs/protocol.md`.
pub(crate) fn to_json(message: &DynamicMessage) -> Json {
    let of = message.descriptor();
    let mut object = serde_json::Map::new();
    for field in of.fields() {
        let always = matches!(
            (of.name(), field.name()),
            ("ClientInfo", "user" | "client")
                | ("PresenceResult", "presence")
                | ("PresenceStatsResult", "num_clients" | "num_users")
                | ("HistoryResult", "publications" | "epoch" | "offset")
                | ("Join" | "Leave", "info")
        );
        if always || message.has_field(&field) {
            let value = value_to_json(&message.get_field(&field));
            object.insert(field.name().to_owned(), value);
        }
    }
    Json::Object(object)
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::U32(value) => Json::from(*value),
        Value::I32(value) => Json::from(*value),
        Value::U64(value) => Json::from(*value),
        Value::I64(value) => Json::from(*value),
        Value::String(value) => Json::from(value.as_str()),
        Value::Bytes(payload) => serde_json::from_slice(payload).expect("payloads are JSON"),
        Value::Message(message) => to_json(message),
        Value::List(items) => items.iter().map(value_to_json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| {
                let key = key.as_str().expect("keys are strings").to_owned();
                (key, value_to_json(value))
            })
            .collect(),
        other => unreachable!("the schema has no such field: {other:?}"),
    }
}

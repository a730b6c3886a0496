//! Golden frames: what the protocol looks like on the wire, read by Rust and TypeScript alike.
//!
//! `manifest.json` lists them. Each is one frame in two files: `NAME.json`, a JSON frame followed
//! by one line break, and `NAME.hex`, the Protobuf frame with the same content, which was written
//! by another implementation of Protobuf.

use std::fmt::Debug;
use std::path::PathBuf;

use serde::Deserialize;
use wire::{
    DecodeError, EncodeError, Format, decode_commands, decode_replies, encode_command,
    encode_reply, join,
};

#[derive(Deserialize)]
struct Manifest {
    commands: Vec<Case>,
    replies: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    about: String,
}

impl Case {
    fn json(&self) -> Vec<u8> {
        let mut frame = read(&format!("{}.json", self.name)).into_bytes();
        assert_eq!(
            frame.pop(),
            Some(b'\n'),
            "{} ends in a line break",
            self.name
        );
        frame
    }

    fn protobuf(&self) -> Vec<u8> {
        let hex = read(&format!("{}.hex", self.name));
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits are a byte"))
            .collect()
    }
}

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(directory().join(file))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn manifest() -> Manifest {
    serde_json::from_str(&read("manifest.json")).expect("the manifest is as documented")
}

/// Both files decode to the same messages, and encode to themselves.
fn check<T: PartialEq + Debug>(
    case: &Case,
    decode: impl Fn(Format, &[u8]) -> Result<Vec<T>, DecodeError>,
    encode: impl Fn(Format, &T, &mut Vec<u8>) -> Result<(), EncodeError>,
) {
    let encode_all = |format, messages: &[T]| {
        let mut frame = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            if i > 0 {
                join(format, &mut frame);
            }
            encode(format, message, &mut frame).expect("golden payloads are JSON");
        }
        frame
    };
    let Case { name, about } = case;
    assert!(!about.is_empty());
    let messages = decode(Format::Json, &case.json()).expect(name);
    assert_eq!(
        decode(Format::Protobuf, &case.protobuf()).as_ref(),
        Ok(&messages),
        "{name}"
    );
    assert_eq!(
        String::from_utf8_lossy(&encode_all(Format::Json, &messages)),
        String::from_utf8_lossy(&case.json()),
        "{name}"
    );
    assert_eq!(
        encode_all(Format::Protobuf, &messages),
        case.protobuf(),
        "{name}"
    );
}

#[test]
fn commands_are_as_they_were() {
    for case in manifest().commands {
        check(
            &case,
            |format, frame| decode_commands(format, frame).collect(),
            encode_command,
        );
    }
}

#[test]
fn replies_are_as_they_were() {
    for case in manifest().replies {
        check(
            &case,
            |format, frame| decode_replies(format, frame).collect(),
            encode_reply,
        );
    }
}

#[test]
fn every_file_is_in_the_manifest() {
    let manifest = manifest();
    let mut expected = vec!["manifest.json".to_owned()];
    for Case { name, .. } in manifest.commands.iter().chain(&manifest.replies) {
        expected.extend([format!("{name}.json"), format!("{name}.hex")]);
    }
    let mut found: Vec<String> = std::fs::read_dir(directory())
        .expect("the directory exists")
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

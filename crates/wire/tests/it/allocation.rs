//! How much memory a frame can make the decoder ask for.

use allocation_counter::measure;
use wire::{Format, Publication, decode_commands, encode_publication_push};

/// The most bytes held at one time while a frame is decoded, each command dropped before the next.
fn peak(format: Format, frame: &[u8]) -> u64 {
    let usage = measure(|| {
        for command in decode_commands(format, frame) {
            drop(std::hint::black_box(command));
        }
    });
    usage.bytes_max
}

fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    prost::encode_length_delimiter(content.len(), &mut out).expect("a Vec has room");
    out.extend_from_slice(content);
    out
}

fn frame(command: &[u8]) -> Vec<u8> {
    field(0, command)[1..].to_vec()
}

#[test]
fn an_announced_length_allocates_nothing() {
    let lies: [&[u8]; 3] = [
        // A message of four gigabytes.
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        // A payload, and a string, of two megabytes inside a message that is short.
        &[8, 0x3a, 6, 0x12, 0xff, 0xff, 0x7f, 0, 0],
        &[8, 0x3a, 6, 0x0a, 0xff, 0xff, 0x7f, 0, 0],
    ];
    for lie in lies {
        assert!(peak(Format::Protobuf, lie) < 4096);
    }
}

/// The worst that was found: things of two or three bytes, each of which becomes a struct.
#[test]
fn a_hostile_frame_costs_a_bounded_multiple_of_its_size() {
    const SIZE: usize = 60_000;
    let subs: Vec<u8> = (0..SIZE / 8)
        .flat_map(|i| field(0x1a, &field(0x0a, format!("{i:x}").as_bytes())))
        .collect();
    let subs_json = (0..SIZE / 8)
        .map(|i| format!("\"{i:x}\":{{}}"))
        .collect::<Vec<_>>()
        .join(",");
    let cases = [
        (
            Format::Protobuf,
            frame(&field(0x2a, &field(0x6a, &[0x32, 0].repeat(SIZE / 2)))),
        ),
        (
            Format::Protobuf,
            frame(&field(0x2a, &field(0x6a, &[0x2a, 0].repeat(SIZE / 2)))),
        ),
        (
            Format::Protobuf,
            frame(&field(0x7a, &field(0x22, &[0x12, 0].repeat(SIZE / 2)))),
        ),
        (Format::Protobuf, frame(&field(0x22, &subs))),
        (Format::Protobuf, vec![0; SIZE]),
        (
            Format::Json,
            format!(
                "{{\"subscribe\":{{\"tf\":{{\"nodes\":[{}{{}}]}}}}}}",
                "{},".repeat(SIZE / 3)
            )
            .into_bytes(),
        ),
        (
            Format::Json,
            format!("{{\"connect\":{{\"subs\":{{{subs_json}}}}}}}").into_bytes(),
        ),
        (Format::Json, "{}\n".repeat(SIZE / 3).into_bytes()),
    ];
    for (i, (format, frame)) in cases.iter().enumerate() {
        let peak = peak(*format, frame);
        let limit = 128 * frame.len() as u64;
        assert!(peak < limit, "case {i}: {} bytes cost {peak}", frame.len());
    }
}

#[test]
fn a_publication_is_encoded_into_one_allocation() {
    let publication = Publication {
        data: "{\"text\":\"hello\",\"n\":[1,2,{\"a\":{}}]}".into(),
        offset: 7,
        ..Publication::default()
    };
    for format in Format::ALL {
        let usage = measure(|| {
            let mut out = Vec::new();
            encode_publication_push(format, "news", &publication, &mut out)
                .expect("the payload is JSON");
            std::hint::black_box(out);
        });
        assert_eq!(usage.count_total, 1, "{format:?}");
    }
}

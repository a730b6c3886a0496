//! Frames that arrive, good and bad.

use wire::{
    Command, DecodeError, Format, Reply, ReplyBody, Request, decode_commands, decode_replies,
};

fn commands(format: Format, frame: &[u8]) -> Vec<Result<Command, DecodeError>> {
    decode_commands(format, frame).collect()
}

fn json(frame: &str) -> Result<Vec<Command>, DecodeError> {
    decode_commands(Format::Json, frame.as_bytes()).collect()
}

fn request(frame: &str) -> Request {
    let mut commands = json(frame).expect("it is a command");
    assert_eq!(commands.len(), 1);
    commands.remove(0).request.expect("a request")
}

#[test]
fn an_empty_frame_is_an_error() {
    for format in Format::ALL {
        assert_eq!(commands(format, b""), [Err(DecodeError::Empty)]);
        assert_eq!(
            decode_replies(format, b"").collect::<Vec<_>>(),
            [Err(DecodeError::Empty)]
        );
    }
    for frame in ["\n", " ", "\r\n"] {
        assert_eq!(json(frame), Err(DecodeError::Empty));
    }
}

#[test]
fn an_empty_command_is_a_pong() {
    assert_eq!(json("{}"), Ok(vec![Command::default()]));
    assert_eq!(commands(Format::Protobuf, &[0]), [Ok(Command::default())]);
}

#[test]
fn an_empty_reply_is_a_ping() {
    let ping = Reply::new(0, ReplyBody::Ping);
    let replies: Vec<_> = decode_replies(Format::Json, b"{}").collect();
    assert_eq!(replies, [Ok(ping.clone())]);
    let replies: Vec<_> = decode_replies(Format::Protobuf, &[0]).collect();
    assert_eq!(replies, [Ok(ping)]);
}

#[test]
fn a_line_break_may_end_a_frame_but_not_be_doubled() {
    assert_eq!(json("{\"id\":1}\n{\"id\":2}\n").unwrap().len(), 2);
    assert_eq!(json("{\"id\":1}\r\n{\"id\":2}\r\n").unwrap().len(), 2);
    let results = commands(Format::Json, b"{\"id\":1}\n\n{\"id\":2}");
    assert!(results[0].is_ok());
    assert_eq!(results[1..], [Err(DecodeError::Empty)]);
}

#[test]
fn commands_before_the_broken_one_count_and_none_after_it() {
    let results = commands(Format::Json, b"{\"id\":1}\n{\"id\":\n{\"id\":3}");
    assert_eq!(results.len(), 2);
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(DecodeError::Json { .. })));
}

#[test]
fn what_is_not_a_command_is_refused() {
    let frames = [
        "null x",
        "[]",
        "1",
        "\"connect\"",
        "{",
        "{\"id\":-1}",
        "{\"id\":4294967296}",
        "{\"id\":1.5}",
        "{\"id\":\"1\"}",
        "{\"connect\":[]}",
        "{\"connect\":{\"token\":1}}",
        "{\"publish\":{\"data\":}}",
        "{} {}",
        "{\"publish\":{\"data\":tru}}",
        "{\"connect\":{\"subs\":[]}}",
        "\u{feff}{}",
    ];
    for frame in frames {
        assert!(
            matches!(json(frame), Err(DecodeError::Json { .. })),
            "{frame}"
        );
    }
    let results = commands(Format::Json, b"{\"connect\":{\"name\":\"\xff\"}}");
    assert_eq!(results, [Err(DecodeError::Json { column: 21 })]);
}

#[test]
fn unknown_fields_are_ignored() {
    let frame = r#"{"new":{"a":[1]},"id":1,"publish":{"x":null,"channel":"c","data":{},"y":[[]]}}"#;
    let Request::Publish(publish) = request(frame) else {
        panic!("not a publish");
    };
    assert_eq!(
        (publish.channel.as_str(), &publish.data[..]),
        ("c", &b"{}"[..])
    );
}

#[test]
fn null_means_absent_except_as_a_payload() {
    let frame = r#"{"id":null,"ping":null,"subscribe":{"channel":null,"recover":null,"offset":null,"tf":null,"data":null}}"#;
    let Request::Subscribe(subscribe) = request(frame) else {
        panic!("not a subscribe");
    };
    assert_eq!(subscribe.data, "null");
    assert_eq!(subscribe.tf, None);
    let frame = r#"{"id":1,"connect":{"subs":null,"headers":{"a":null}}}"#;
    let Request::Connect(connect) = request(frame) else {
        panic!("not a connect");
    };
    assert_eq!(connect.headers["a"], "");
}

#[test]
fn payloads_are_taken_as_they_stand() {
    for payload in [
        "{ \"a\" : 1.0 }",
        "\"\\u00e9\"",
        "1e400",
        "[]",
        "123456789012345678901",
    ] {
        let frame = format!(r#"{{"id":1,"rpc":{{"method":"m","data": {payload} }}}}"#);
        let Request::Rpc(rpc) = request(&frame) else {
            panic!("not an rpc");
        };
        assert_eq!(rpc.data, payload);
    }
}

#[test]
fn numbers_of_64_bits_are_exact() {
    let frame = r#"{"subscribe":{"offset":18446744073709551615,"flag":-9223372036854775808}}"#;
    let Request::Subscribe(subscribe) = request(frame) else {
        panic!("not a subscribe");
    };
    assert_eq!((subscribe.offset, subscribe.flag), (u64::MAX, i64::MIN));
}

#[test]
fn of_several_requests_the_first_by_rank_counts() {
    let frame = r#"{"sub_refresh":{},"refresh":{},"send":{},"rpc":{},"history":{},"presence_stats":{},"presence":{},"publish":{},"unsubscribe":{},"subscribe":{},"ping":{},"connect":{}}"#;
    assert!(matches!(request(frame), Request::Connect(_)));
    let frame = r#"{"send":{},"rpc":{}}"#;
    assert!(matches!(request(frame), Request::Rpc(_)));
    let frame = r#"{"subscribe":{},"ping":{}}"#;
    assert!(matches!(request(frame), Request::Ping(_)));
}

#[test]
fn an_announced_length_must_be_there() {
    let frames: [&[u8]; 5] = [
        &[1],
        &[5, 8, 1],
        &[0x80],
        // Four gigabytes, and the largest number there is.
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0,
        ],
    ];
    for frame in frames {
        assert_eq!(
            commands(Format::Protobuf, frame),
            [Err(DecodeError::Truncated)]
        );
    }
    // A field inside a message may lie as well.
    assert_eq!(
        commands(Format::Protobuf, &[6, 0x3a, 4, 0x12, 0xff, 0xff, 0x7f]),
        [Err(DecodeError::Protobuf)]
    );
    // A string must be UTF-8, and a field of the type that the schema says.
    assert_eq!(
        commands(Format::Protobuf, &[5, 0x32, 3, 0x0a, 1, 0xff]),
        [Err(DecodeError::Protobuf)]
    );
    assert_eq!(
        commands(Format::Protobuf, &[2, 0x20, 1]),
        [Err(DecodeError::Protobuf)]
    );
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let depth = 100_000;
    let filter = "{\"nodes\":[".repeat(depth);
    let frame = format!("{{\"subscribe\":{{\"tf\":{filter}");
    assert!(matches!(json(&frame), Err(DecodeError::Json { .. })));
    let payload = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let frame = format!("{{\"publish\":{{\"data\":{payload}}}}}");
    assert!(matches!(json(&frame), Err(DecodeError::Json { .. })));
    let frame = format!("{{\"unknown\":{payload}}}");
    assert_eq!(json(&frame), Ok(vec![Command::default()]));

    let mut filter = Vec::new();
    for _ in 0..1000 {
        let mut outer = vec![0x32];
        prost_length(filter.len(), &mut outer);
        outer.append(&mut filter);
        filter = outer;
    }
    let mut subscribe = vec![0x6a];
    prost_length(filter.len(), &mut subscribe);
    subscribe.append(&mut filter);
    let mut command = vec![0x2a];
    prost_length(subscribe.len(), &mut command);
    command.append(&mut subscribe);
    let mut frame = Vec::new();
    prost_length(command.len(), &mut frame);
    frame.append(&mut command);
    assert_eq!(
        commands(Format::Protobuf, &frame),
        [Err(DecodeError::Protobuf)]
    );
}

fn prost_length(length: usize, out: &mut Vec<u8>) {
    prost::encode_length_delimiter(length, out).expect("a Vec has room");
}

#[test]
fn a_reply_that_says_nothing_known_is_refused() {
    for frame in [
        r#"{"id":1}"#,
        r#"{"id":1,"new":{}}"#,
        r#"{"push":{"channel":"c"}}"#,
    ] {
        let replies: Vec<_> = decode_replies(Format::Json, frame.as_bytes()).collect();
        assert_eq!(replies, [Err(DecodeError::NoBody)]);
    }
}

#[test]
fn errors_and_debug_output_reveal_no_secret() {
    let frame = r#"{"id":1,"connect":{"token":"hunter2","headers":{"h":"hunter2"},"data":"hunter2","subs":{"c":{"token":"hunter2"}}}}"#;
    let shown = format!("{:?}", json(frame).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    let error = json(r#"{"id":"hunter2"}"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

//! Frames that are sent.

use wire::{
    ClientInfo, EncodeError, Error, ErrorCode, Format, HistoryResult, Join, PresenceResult,
    PresenceStatsResult, Publication, PublishResult, Push, PushBody, Reply, ReplyBody, RpcResult,
    encode_publication_push, encode_reply,
};

fn json(reply: &Reply) -> String {
    let mut out = Vec::new();
    encode_reply(Format::Json, reply, &mut out).expect("its payloads are JSON");
    String::from_utf8(out).expect("JSON is text")
}

#[test]
fn fields_that_are_always_written_are_written() {
    let cases = [
        (
            ReplyBody::Presence(PresenceResult::default()),
            r#"{"id":1,"presence":{"presence":{}}}"#,
        ),
        (
            ReplyBody::PresenceStats(PresenceStatsResult::default()),
            r#"{"id":1,"presence_stats":{"num_clients":0,"num_users":0}}"#,
        ),
        (
            ReplyBody::History(HistoryResult::default()),
            r#"{"id":1,"history":{"publications":[],"epoch":"","offset":0}}"#,
        ),
        (
            ReplyBody::Push(Push {
                channel: "c".to_owned(),
                body: PushBody::Join(Join {
                    info: ClientInfo::default(),
                }),
            }),
            r#"{"id":1,"push":{"channel":"c","join":{"info":{"user":"","client":""}}}}"#,
        ),
        (
            ReplyBody::Publish(PublishResult {}),
            r#"{"id":1,"publish":{}}"#,
        ),
        (
            ReplyBody::Error(Error::from(ErrorCode::INTERNAL)),
            r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(json(&Reply::new(1, body)), expected);
    }
}

#[test]
fn a_payload_that_is_not_json_leaves_the_frame_as_it_was() {
    let publication = Publication {
        data: "{\"a\":".into(),
        ..Publication::default()
    };
    let body = ReplyBody::Rpc(RpcResult {
        data: b"\x00\xff"[..].into(),
    });
    let reply = Reply::new(1, body);
    let mut out = b"{}\n".to_vec();
    assert_eq!(
        encode_publication_push(Format::Json, "c", &publication, &mut out),
        Err(EncodeError::NotJson)
    );
    assert_eq!(
        encode_reply(Format::Json, &reply, &mut out),
        Err(EncodeError::NotJson)
    );
    assert_eq!(out, b"{}\n");
    encode_reply(Format::Protobuf, &reply, &mut out).expect("Protobuf carries any bytes");
}

//! Requests in: JSON in all its allowed spellings, and encoded messages.

use bytes::Bytes;
use prost::Message as _;
use proto::chat::v1::list_messages_request::Anchor;
use proto::chat::v1::{SendMessageRequest, SendMessageResponse};
use serde_json::json;
use transcode::{CallError, PayloadFormat};

use crate::support::{Chat, a_message, call};

fn is_bad_request(error: &CallError, names: &str) -> bool {
    error.code == 107
        && !error.temporary
        && error.message.starts_with("bad request: ")
        && error.message.contains(names)
}

#[tokio::test]
async fn json_fields_may_be_in_snake_case_or_camel_case() {
    let chat = Chat::spawn().await;
    let expected = SendMessageRequest {
        room_id: "r1".to_owned(),
        client_msg_id: "m1".to_owned(),
        text: "hello".to_owned(),
        custom: None,
    };
    chat.send(a_message()).await.unwrap();
    assert_eq!(chat.last_request(), expected);
    chat.send(json!({"roomId": "r1", "clientMsgId": "m1", "text": "hello"}))
        .await
        .unwrap();
    assert_eq!(chat.last_request(), expected);
}

#[tokio::test]
async fn json_integers_of_64_bits_may_be_numbers_or_texts() {
    let chat = Chat::spawn().await;
    for seq in ["18446744073709551615", r#""18446744073709551615""#] {
        let payload = format!(r#"{{"room_id":"r1","after_seq":{seq}}}"#);
        chat.json("chat.ListMessages", &payload).await.unwrap();
        let request = chat.fake.list_requests.lock().unwrap().pop().unwrap();
        assert_eq!(request.anchor, Some(Anchor::AfterSeq(u64::MAX)));
    }
}

#[tokio::test]
async fn nothing_is_the_empty_request() {
    let chat = Chat::spawn().await;
    for payload in ["", " ", "null", "{}"] {
        chat.json("chat.SendMessage", payload).await.unwrap();
        assert_eq!(chat.last_request(), SendMessageRequest::default());
    }
}

#[tokio::test]
async fn json_that_does_not_fit_is_a_bad_request_and_is_not_sent() {
    let chat = Chat::spawn().await;
    let deep = format!(
        r#"{{"custom":{{"a":{}{}}}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for (payload, names) in [
        (r#"{"text":"a","colour":"red"}"#, "colour"),
        (r#"{"text":1}"#, ""),
        (r#"{"text":["a"]}"#, ""),
        (r#"["a"]"#, ""),
        (r#""a""#, ""),
        ("{", ""),
        (r#"{"text":"a"} x"#, ""),
        (deep.as_str(), ""),
    ] {
        let error = chat.json("chat.SendMessage", payload).await.unwrap_err();
        assert!(is_bad_request(&error, names), "{payload:.80}: {error:?}");
    }
    let error = chat
        .json("chat.ListMessages", r#"{"after_seq":1,"before_seq":2}"#)
        .await
        .unwrap_err();
    assert!(is_bad_request(&error, ""), "{error:?}");
    assert!(chat.fake.requests.lock().unwrap().is_empty());
    assert!(chat.fake.list_requests.lock().unwrap().is_empty());
}

/// Decoders refuse what is nested too deeply, and a service's refusal would look
/// like a failure of the service.
#[tokio::test]
async fn json_nested_deeper_than_services_decode_is_a_bad_request() {
    let chat = Chat::spawn().await;
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"custom":{{"a":{open}{close}}}}}"#)
    };
    for depth in 1..120 {
        match chat.json("chat.SendMessage", &nested(depth)).await {
            Ok(_) => assert!(depth < 60, "{depth}"),
            Err(error) => {
                assert!(depth > 40, "{depth}");
                assert!(is_bad_request(&error, ""), "{depth}: {error:?}");
            }
        }
    }
    // Brackets in a text are text.
    let text = format!(r#"{{"text":"{}"}}"#, "[".repeat(1000));
    chat.json("chat.SendMessage", &text).await.unwrap();
}

#[tokio::test]
async fn encoded_requests_get_encoded_answers() {
    let chat = Chat::spawn().await;
    let answer = SendMessageResponse {
        offset: 7,
        ..SendMessageResponse::default()
    };
    chat.answer(Ok(answer.clone()));
    let request = SendMessageRequest {
        room_id: "r1".to_owned(),
        text: "hello".to_owned(),
        ..SendMessageRequest::default()
    };
    let payload = Bytes::from(request.encode_to_vec());
    let encoded = call(
        &chat.services,
        "chat.SendMessage",
        &payload,
        PayloadFormat::Protobuf,
    )
    .await
    .unwrap();
    assert_eq!(SendMessageResponse::decode(encoded).unwrap(), answer);
    assert_eq!(chat.last_request(), request);
}

#[tokio::test]
async fn a_protobuf_client_may_write_json_and_gets_json() {
    let chat = Chat::spawn().await;
    chat.answer(Ok(SendMessageResponse {
        offset: 7,
        ..SendMessageResponse::default()
    }));
    let payload = Bytes::from(a_message().to_string());
    let answer = call(
        &chat.services,
        "chat.SendMessage",
        &payload,
        PayloadFormat::Protobuf,
    )
    .await
    .unwrap();
    assert_eq!(answer, r#"{"offset":7}"#);
    assert_eq!(chat.last_request().text, "hello");
}

#[tokio::test]
async fn bytes_that_are_no_message_are_a_bad_request_and_are_not_sent() {
    let chat = Chat::spawn().await;
    for payload in [
        &b"\x0a\xff\xff\xff\xff\x0f"[..], // a text of four gigabytes
        b"\x0a\x05ab",                    // cut off
        b"\x0a\x02\xff\xfe",              // not UTF-8
        b"\x08\x01",                      // a number where a text belongs
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let payload = Bytes::from_static(payload);
        let error = call(
            &chat.services,
            "chat.SendMessage",
            &payload,
            PayloadFormat::Protobuf,
        )
        .await
        .unwrap_err();
        assert!(is_bad_request(&error, ""), "{payload:?}: {error:?}");
    }
    assert!(chat.fake.requests.lock().unwrap().is_empty());
}

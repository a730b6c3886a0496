//! Calls and their replies.

use std::time::Duration;

use client::{Error, Options};
use wire::{
    Command, ConnectRequest, ConnectResult, ErrorCode, Format, PublishResult, Reply, ReplyBody,
    Request, RpcResult, SubscribeRequest, SubscribeResult,
};

use crate::server::pair;

#[tokio::test]
async fn a_call_returns_the_reply_with_its_id() {
    for format in Format::ALL {
        let (client, mut server) = pair(Options::new(format)).await;
        let serve = async {
            let commands = server.receive().await;
            let [
                Command {
                    id,
                    request: Some(Request::Connect(request)),
                },
            ] = &commands[..]
            else {
                panic!("not a connect: {commands:?}");
            };
            assert_eq!(request.name, "test");
            let result = ConnectResult {
                client: "42".to_owned(),
                ..ConnectResult::default()
            };
            server
                .reply(&[Reply::new(*id, ReplyBody::Connect(result))])
                .await;
        };
        let request = ConnectRequest {
            name: "test".to_owned(),
            ..ConnectRequest::default()
        };
        let (result, ()) = tokio::join!(client.connect(request), serve);
        assert_eq!(result.unwrap().client, "42");
    }
}

#[tokio::test]
async fn replies_may_come_in_any_order() {
    let (client, mut server) = pair(Options::new(Format::Json)).await;
    let serve = async {
        let mut ids = Vec::new();
        while ids.len() < 2 {
            ids.extend(server.receive().await.into_iter().map(|command| command.id));
        }
        let answer = |id: u32, data: &'static str| {
            let data = data.into();
            Reply::new(id, ReplyBody::Rpc(RpcResult { data }))
        };
        server
            .reply(&[answer(ids[1], "2"), answer(ids[0], "1")])
            .await;
    };
    let (first, second, ()) = tokio::join!(client.rpc("a", "{}"), client.rpc("b", "{}"), serve);
    assert_eq!(first.unwrap().data, "1");
    assert_eq!(second.unwrap().data, "2");
}

#[tokio::test]
async fn an_error_reply_is_an_error() {
    let (client, mut server) = pair(Options::new(Format::Protobuf)).await;
    let serve = async {
        let id = server.receive().await[0].id;
        server
            .reply(&[Reply::error(id, ErrorCode::PERMISSION_DENIED)])
            .await;
    };
    let (result, ()) = tokio::join!(client.subscribe("secret"), serve);
    assert_eq!(
        result.unwrap_err().code(),
        Some(ErrorCode::PERMISSION_DENIED)
    );
}

#[tokio::test]
async fn a_reply_of_another_kind_is_an_error() {
    let (client, mut server) = pair(Options::new(Format::Json)).await;
    let serve = async {
        let id = server.receive().await[0].id;
        let body = ReplyBody::Publish(PublishResult {});
        server.reply(&[Reply::new(id, body)]).await;
    };
    let (result, ()) = tokio::join!(client.subscribe("news"), serve);
    assert!(matches!(result, Err(Error::WrongReply)));
}

#[tokio::test]
async fn a_batch_is_one_frame() {
    let (client, mut server) = pair(Options::new(Format::Protobuf)).await;
    let serve = async {
        let commands = server.receive().await;
        assert_eq!(commands.len(), 2);
        server
            .reply(&[
                Reply::new(commands[0].id, ReplyBody::Connect(ConnectResult::default())),
                Reply::new(
                    commands[1].id,
                    ReplyBody::Subscribe(SubscribeResult::default()),
                ),
            ])
            .await;
    };
    let requests = [
        Request::Connect(ConnectRequest::default()),
        Request::Subscribe(SubscribeRequest::default()),
    ];
    let (replies, ()) = tokio::join!(client.batch(requests), serve);
    let replies = replies.unwrap();
    assert!(matches!(replies[0], Ok(ReplyBody::Connect(_))));
    assert!(matches!(replies[1], Ok(ReplyBody::Subscribe(_))));
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let options = Options {
        deadline: Duration::from_millis(20),
        ..Options::new(Format::Json)
    };
    let (client, _server) = pair(options).await;
    assert!(matches!(client.presence("news").await, Err(Error::Timeout)));
}

#[tokio::test]
async fn a_payload_that_is_not_json_fails_its_call_only() {
    let (client, mut server) = pair(Options::new(Format::Json)).await;
    assert!(matches!(
        client.publish("news", "{").await,
        Err(Error::Encode(_))
    ));
    let serve = async {
        let id = server.receive().await[0].id;
        let body = ReplyBody::Publish(PublishResult {});
        server.reply(&[Reply::new(id, body)]).await;
    };
    let (result, ()) = tokio::join!(client.publish("news", "{}"), serve);
    result.unwrap();
}

#[tokio::test]
async fn a_raw_frame_arrives_as_it_is() {
    let (client, mut server) = pair(Options::new(Format::Json)).await;
    client.send_frame("{\"id\":7}\n{}").await.unwrap();
    let commands = server.receive().await;
    assert_eq!(
        commands[0],
        Command {
            id: 7,
            request: None
        }
    );
    assert_eq!(commands[1], Command::default());
}

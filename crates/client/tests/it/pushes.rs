//! Pushes and pings.

use std::time::Duration;

use client::{Error, Options};
use tokio_tungstenite::tungstenite::Message;
use wire::{Command, Format, Publication, Push, PushBody, Reply, ReplyBody, RpcResult};

use crate::server::pair;

fn push(offset: u64) -> Push {
    Push {
        channel: "news".to_owned(),
        body: PushBody::Publication(Publication {
            data: "{}".into(),
            offset,
            ..Publication::default()
        }),
    }
}

#[tokio::test]
async fn pushes_come_in_order() {
    for format in Format::ALL {
        let (mut client, mut server) = pair(Options::new(format)).await;
        server
            .reply(&[Reply::push(push(1)), Reply::push(push(2))])
            .await;
        server.reply(&[Reply::push(push(3))]).await;
        for offset in 1..=3 {
            assert_eq!(client.next_push().await.unwrap(), push(offset));
        }
        let none = client.next_push_within(Duration::from_millis(10)).await;
        assert!(matches!(none, Err(Error::Timeout)));
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    for format in Format::ALL {
        let (_client, mut server) = pair(Options::new(format)).await;
        server.reply(&[Reply::new(0, ReplyBody::Ping)]).await;
        assert_eq!(server.receive().await, [Command::default()]);
    }
}

#[tokio::test]
async fn a_ping_may_be_left_unanswered() {
    let options = Options {
        pong: false,
        ..Options::new(Format::Json)
    };
    let (client, mut server) = pair(options).await;
    server.reply(&[Reply::new(0, ReplyBody::Ping)]).await;
    server.reply(&[Reply::push(push(1))]).await;
    let (caller, mut pushes) = client.into_split();
    pushes.next().await.unwrap();
    // The push came after the ping, so the ping has been dealt with: nothing was sent for it.
    caller.send("1").await.unwrap();
    assert!(server.receive().await[0].request.is_some());
}

#[tokio::test]
async fn nothing_is_lost_when_the_queue_is_full() {
    let options = Options {
        push_capacity: 2,
        ..Options::new(Format::Protobuf)
    };
    let (mut client, mut server) = pair(options).await;
    let replies: Vec<Reply> = (1..=10).map(|offset| Reply::push(push(offset))).collect();
    server.reply(&replies).await;
    for offset in 1..=10 {
        assert_eq!(client.next_push().await.unwrap(), push(offset));
    }
}

#[tokio::test]
async fn calls_work_when_nobody_listens_to_pushes() {
    let options = Options {
        push_capacity: 1,
        ..Options::new(Format::Json)
    };
    let (client, mut server) = pair(options).await;
    let (caller, pushes) = client.into_split();
    drop(pushes);
    let replies: Vec<Reply> = (1..=10).map(|offset| Reply::push(push(offset))).collect();
    server.reply(&replies).await;
    let serve = async {
        let id = server.receive().await[0].id;
        let data = "1".into();
        server
            .reply(&[Reply::new(id, ReplyBody::Rpc(RpcResult { data }))])
            .await;
    };
    let (result, ()) = tokio::join!(caller.rpc("a", "{}"), serve);
    result.unwrap();
}

#[tokio::test]
async fn an_undecodable_frame_ends_the_connection_with_an_error() {
    let (mut client, mut server) = pair(Options::new(Format::Json)).await;
    server.send(Message::text("{")).await;
    assert!(matches!(client.next_push().await, Err(Error::Decode(_))));
}

//! Messages between nodes: what the server API does to sessions wherever they
//! are, who else is there, and questions to all. Nothing here waits for an answer
//! from every node: who does not answer in time is left out.

mod message;
mod peers;

use std::sync::Arc;
use std::time::Duration;

use broker::Position;
use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;
use uuid::Uuid;
use wire::{Disconnect, Unsubscribe};

pub(crate) use self::message::{
    ChannelCount, ChannelsAnswer, ChannelsQuestion, Control, DisconnectUser, RefreshUser,
    SubscribeUser, UnsubscribeUser, What,
};
pub(crate) use self::peers::{Peers, announce, describe};
use crate::connection::{Closing, Connection};
use crate::node::Node;
use crate::session::{Event, ServerRefresh, ServerSubscribe};

/// How long answers to a question are waited for.
const ANSWERS: Duration = Duration::from_millis(1_000);
/// Answers that may wait to be added up.
const ANSWER_QUEUE: usize = 256;

/// Sends a message to all nodes, this one too.
pub(crate) async fn send(node: &Node, what: What) -> broker::Result<()> {
    let control = Control {
        from: node.id.clone(),
        what: Some(what),
    };
    node.broker
        .publish_control(None, control.encode_to_vec().into())
        .await
}

async fn send_to(node: &Node, to: &str, what: What) -> broker::Result<()> {
    let control = Control {
        from: node.id.clone(),
        what: Some(what),
    };
    node.broker
        .publish_control(Some(to), control.encode_to_vec().into())
        .await
}

/// Ends a user's other connections, on all nodes.
pub(crate) async fn disconnect_others(node: &Node, user: &str, but: Uuid) {
    let disconnect = DisconnectUser {
        user: user.to_owned(),
        whitelist: vec![but.to_string()],
        code: Disconnect::CONNECTION_LIMIT.code,
        reason: Disconnect::CONNECTION_LIMIT.reason.into_owned(),
        ..DisconnectUser::default()
    };
    if let Err(error) = send(node, What::Disconnect(disconnect)).await {
        node.metrics.broker_errors.inc();
        tracing::warn!(%error, "ending a user's other connections failed");
    }
}

/// Carries out a message from a node. Malformed ones are logged and dropped: they
/// come from a node of another version.
pub(crate) fn receive(node: &Arc<Node>, message: &Bytes) {
    let control = match Control::decode(message.clone()) {
        Ok(control) => control,
        Err(error) => {
            tracing::warn!(%error, "an unreadable control message");
            return;
        }
    };
    let from = control.from;
    match control.what {
        None => {}
        Some(What::Node(info)) => node.control.heard(info, node.clock.now()),
        Some(What::Leaving(_)) => node.control.left(&from),
        Some(What::Unsubscribe(one)) => unsubscribe(node, &one),
        Some(What::Subscribe(one)) => subscribe(node, one),
        Some(What::Disconnect(one)) => disconnect(node, one),
        Some(What::Refresh(one)) => refresh(node, &one),
        Some(What::ChannelsQuestion(question)) => {
            let node = Arc::clone(node);
            node.tasks
                .clone()
                .spawn(async move { answer_channels(&node, &from, question).await });
        }
        Some(What::ChannelsAnswer(answer)) => node.control.answered(answer),
    }
}

/// A user's connections here; one of them if `client` names it.
fn connections(node: &Node, user: &str, client: &str) -> Vec<Arc<Connection>> {
    let mut connections = node.hub.user(user);
    if !client.is_empty() {
        connections.retain(|one| one.id().to_string() == client);
    }
    connections
}

fn unsubscribe(node: &Node, one: &UnsubscribeUser) {
    let channel: Arc<str> = one.channel.as_str().into();
    for connection in connections(node, &one.user, &one.client) {
        let channel = Arc::clone(&channel);
        connection.post(Event::Unsubscribe {
            channel,
            unsubscribe: Unsubscribe::SERVER,
        });
    }
}

fn subscribe(node: &Node, one: SubscribeUser) {
    let flag = |value: i32| match value {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    };
    let subscribe = ServerSubscribe {
        channel: one.channel,
        info: one.info,
        data: one.data,
        expire_at: one.expire_at,
        recover_since: one.recover.then(|| Position {
            epoch: one.epoch.as_str().into(),
            offset: one.offset,
        }),
        overrides: auth::Overrides {
            presence: flag(one.presence),
            join_leave: flag(one.join_leave),
            force_push_join_leave: flag(one.force_push_join_leave),
            force_recovery: flag(one.force_recovery),
            force_positioning: flag(one.force_positioning),
        },
    };
    for connection in connections(node, &one.user, &one.client) {
        connection.post(Event::Subscribe(Box::new(subscribe.clone())));
    }
}

fn disconnect(node: &Node, one: DisconnectUser) {
    let disconnect = Disconnect::new(one.code, one.reason);
    for connection in connections(node, &one.user, &one.client) {
        if !one.whitelist.contains(&connection.id().to_string()) {
            connection.close(Closing::Disconnect(disconnect.clone()));
        }
    }
}

fn refresh(node: &Node, one: &RefreshUser) {
    let refresh = ServerRefresh {
        expired: one.expired,
        expire_at: one.expire_at,
        info: (!one.info.is_empty()).then(|| one.info.clone()),
    };
    for connection in connections(node, &one.user, &one.client) {
        connection.post(Event::Refresh(Box::new(refresh.clone())));
    }
}

async fn answer_channels(node: &Node, to: &str, question: ChannelsQuestion) {
    let answer = ChannelsAnswer {
        question: question.id,
        channels: node
            .hub
            .channels()
            .iter()
            .map(|channel| ChannelCount {
                channel: channel.name().as_ref().to_owned(),
                clients: u32::try_from(channel.listeners()).unwrap_or(u32::MAX),
            })
            .filter(|count| count.clients > 0)
            .collect(),
    };
    if let Err(error) = send_to(node, to, What::ChannelsAnswer(answer)).await {
        node.metrics.broker_errors.inc();
        tracing::debug!(%error, "answering a question failed");
    }
}

/// Asks all nodes for their channels, and adds up what comes in time.
///
/// # Errors
/// The broker's, if the question cannot be asked.
pub(crate) async fn channels(node: &Node) -> broker::Result<Vec<ChannelCount>> {
    let (sender, mut answers) = mpsc::channel(ANSWER_QUEUE);
    let id = node.control.ask(sender);
    let expected = node.control.count(node.clock.now()).max(1);
    let asked = send(node, What::ChannelsQuestion(ChannelsQuestion { id })).await;
    let mut all = Vec::new();
    let deadline = tokio::time::Instant::now() + ANSWERS;
    for _ in 0..if asked.is_ok() { expected } else { 0 } {
        match tokio::time::timeout_at(deadline, answers.recv()).await {
            Ok(Some(answer)) => all.extend(answer.channels),
            Ok(None) | Err(_) => break,
        }
    }
    node.control.forget(id);
    asked.map(|()| all)
}

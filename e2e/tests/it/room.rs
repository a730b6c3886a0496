//! A chat room and the truths about it: the one place that knows the chat API.

use std::cell::Cell;
use std::time::Duration;

use e2e::{Event, Sdk};
use serde_json::{Value, json};
use testkit::Progress;

/// Messages after the fault, in which a loss or a duplicate would show.
const AFTERWARDS: usize = 5;
/// So that a long fault does not fill the channel's history: a pace, not a wait.
const PACE: Duration = Duration::from_millis(20);

/// A room. Its messages' texts are different from one another.
pub(crate) struct Room {
    pub(crate) id: String,
    pub(crate) channel: String,
    sent: Cell<usize>,
}

impl Room {
    /// A room with these members and the client's user as its owner.
    pub(crate) async fn group(owner: &Sdk, members: &[&str]) -> Self {
        Self::create(owner, "ROOM_KIND_GROUP", members).await
    }

    /// A room that everybody may join.
    pub(crate) async fn public(owner: &Sdk) -> Self {
        Self::create(owner, "ROOM_KIND_PUBLIC", &[]).await
    }

    async fn create(owner: &Sdk, kind: &str, members: &[&str]) -> Self {
        let request = json!({ "kind": kind, "name": "the stage", "members": members });
        let created = owner.rpc("chat.CreateRoom", request).await;
        let created = created.expect("a room is created");
        Self::of(&created["room"])
    }

    /// The room of an answer.
    pub(crate) fn of(room: &Value) -> Self {
        let text = |member: &str| room[member].as_str().expect(member).to_owned();
        Self {
            id: text("id"),
            channel: text("channel"),
            sent: Cell::new(0),
        }
    }

    /// A message, ready to be sent. Its text is also the key of its idempotency.
    pub(crate) fn message(&self, text: &str) -> Value {
        json!({ "room_id": self.id, "client_msg_id": text, "text": text })
    }

    /// Sends a message, again and again until it is acknowledged.
    pub(crate) async fn send(&self, sender: &Sdk, text: &str) -> Value {
        sender
            .rpc_until_done("chat.SendMessage", self.message(text))
            .await
    }

    /// Sends one message after the other until `fault` is over, and some more. Returns
    /// the texts, all acknowledged, in their order.
    pub(crate) async fn chat_during(
        &self,
        sender: &Sdk,
        fault: impl AsyncFnOnce(&Progress),
    ) -> Vec<String> {
        let sent = Progress::new(e2e::DEADLINE);
        let over = Cell::new(false);
        let chat = async {
            let (mut texts, mut rest) = (Vec::new(), AFTERWARDS);
            while rest > 0 {
                if over.get() {
                    rest -= 1;
                }
                self.sent.set(self.sent.get() + 1);
                let text = format!("message {}", self.sent.get());
                self.send(sender, &text).await;
                texts.push(text);
                sent.advance();
                tokio::time::sleep(PACE).await;
            }
            texts
        };
        let fault = async {
            fault(&sent).await;
            over.set(true);
        };
        tokio::join!(chat, fault).0
    }

    /// Waits until the last of these messages has reached a client, and asserts that
    /// all have: each once, in their order, nothing else between them.
    pub(crate) async fn arrived(&self, at: &Sdk, texts: &[String]) {
        let last = texts.last().expect("something was sent");
        at.publication(&self.channel, &format!("{last:?} arrives"), |data| {
            data["message_created"]["text"] == **last
        })
        .await;
        assert_eq!(self.texts(at), texts, "{at:?}");
        let logged: Vec<_> = self.offsets(at);
        for pair in logged.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "offsets without a gap: {logged:?}");
        }
    }

    /// The texts of the messages that have reached a client.
    pub(crate) fn texts(&self, at: &Sdk) -> Vec<String> {
        let text = |p: &Event| {
            p["data"]["message_created"]["text"]
                .as_str()
                .map(str::to_owned)
        };
        at.publications(&self.channel)
            .iter()
            .filter_map(text)
            .collect()
    }

    /// The positions of the room's events that have reached a client; ephemeral ones
    /// have none.
    fn offsets(&self, at: &Sdk) -> Vec<u64> {
        let offset = |p: &Event| p["offset"].as_u64().filter(|&offset| offset > 0);
        at.publications(&self.channel)
            .iter()
            .filter_map(offset)
            .collect()
    }
}

//! An official SDK as a process.

use std::collections::HashMap;
use std::fmt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, oneshot, watch};

use crate::{DEADLINE, binaries};

/// How many of the last events are shown when a test fails.
const SHOWN_EVENTS: usize = 40;

/// Which SDK, and in which encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdkKind {
    /// `centrifuge` of npm, JSON.
    JsJson,
    /// `centrifuge` of npm, Protobuf.
    JsProtobuf,
    /// `centrifuge-python` of the package index, JSON.
    PythonJson,
    /// `centrifuge-python` of the package index, Protobuf.
    PythonProtobuf,
}

impl SdkKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::JsJson,
        Self::JsProtobuf,
        Self::PythonJson,
        Self::PythonProtobuf,
    ];

    fn command(self, url: &str, token: &str) -> Command {
        let e2e = binaries::root().join("e2e");
        let (program, script, format) = match self {
            Self::JsJson => (binaries::node().into(), "js/client.mjs", "json"),
            Self::JsProtobuf => (binaries::node().into(), "js/client.mjs", "protobuf"),
            Self::PythonJson => (binaries::python(), "python/client.py", "json"),
            Self::PythonProtobuf => (binaries::python(), "python/client.py", "protobuf"),
        };
        if script.starts_with("js") {
            let packages = e2e.join("js/node_modules");
            assert!(
                packages.is_dir(),
                "{} is not there. Make it: npm ci --prefix e2e/js",
                packages.display()
            );
        }
        let mut command = Command::new(program);
        command.args([
            e2e.join(script).as_os_str(),
            url.as_ref(),
            format.as_ref(),
            token.as_ref(),
        ]);
        command
    }
}

/// Why a call failed, in the SDK's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The server's code, or one of the SDK's own.
    pub code: u64,
    /// For people.
    pub message: String,
    /// Whether the call may be repeated.
    pub temporary: bool,
}

/// Something that an SDK reported, as a JSON object with the member `event`.
pub type Event = Value;

/// One client: an SDK in a process of its own, killed when it is dropped.
///
/// All that it reported is kept, in order; tests wait until that looks as it should.
pub struct Sdk {
    kind: SdkKind,
    orders: Mutex<ChildStdin>,
    shared: Arc<Shared>,
    next_call: AtomicU64,
    _child: Child,
}

struct Shared {
    events: watch::Sender<Vec<Event>>,
    calls: std::sync::Mutex<HashMap<u64, oneshot::Sender<Value>>>,
}

/// What helps when a test fails: the last that it reported.
impl fmt::Debug for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} reported:", self.kind)?;
        let events = self.shared.events.borrow();
        for event in &events[events.len().saturating_sub(SHOWN_EVENTS)..] {
            write!(f, "\n{event}")?;
        }
        Ok(())
    }
}

impl Sdk {
    /// Starts a client and waits until it is connected.
    ///
    /// # Panics
    /// If the SDK is not installed (the message helps), or it does not connect.
    pub async fn connect(kind: SdkKind, url: &str, token: &str) -> Self {
        let mut child = kind
            .command(url, token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let shared = Arc::new(Shared {
            events: watch::Sender::new(Vec::new()),
            calls: std::sync::Mutex::default(),
        });
        let output = child.stdout.take().expect("it is piped");
        tokio::spawn(read(output, Arc::clone(&shared)));
        let sdk = Self {
            kind,
            orders: Mutex::new(child.stdin.take().expect("it is piped")),
            shared,
            next_call: AtomicU64::new(1),
            _child: child,
        };
        sdk.reconnect().await;
        sdk
    }

    /// Connects, the first time or after [`disconnect`](Self::disconnect), and waits
    /// until it is so.
    ///
    /// # Panics
    /// If it is not in time.
    pub async fn reconnect(&self) {
        let before = self.count("connected");
        self.order(&json!({ "order": "connect" })).await;
        self.until("it connects", |events| count(events, "connected") > before)
            .await;
    }

    /// Disconnects as a user would, and waits until it is so. Subscriptions are kept by
    /// the SDK.
    ///
    /// # Panics
    /// If it is not in time.
    pub async fn disconnect(&self) {
        let before = self.count("disconnected");
        self.order(&json!({ "order": "disconnect" })).await;
        self.until("it disconnects", |events| {
            count(events, "disconnected") > before
        })
        .await;
    }

    /// Subscribes and waits until the server has confirmed it, which it returns.
    ///
    /// # Panics
    /// If it is not in time.
    pub async fn subscribe(&self, channel: &str) -> Event {
        self.subscribe_since(channel, &Value::Null).await
    }

    /// Subscribes from a position, `{"epoch": …, "offset": …}`, on.
    ///
    /// # Panics
    /// If it is not confirmed in time.
    pub async fn subscribe_since(&self, channel: &str, since: &Value) -> Event {
        self.ask_to_subscribe(channel, since).await;
        self.subscribed(channel).await
    }

    /// Asks for a subscription and waits for nothing.
    ///
    /// # Panics
    /// If the SDK takes no orders.
    pub async fn ask_to_subscribe(&self, channel: &str, since: &Value) {
        self.order(&json!({ "order": "subscribe", "channel": channel, "since": since }))
            .await;
    }

    /// Waits until a subscription has ended for good, and returns the event with its
    /// `code`.
    ///
    /// # Panics
    /// If it has not in time.
    pub async fn unsubscribed(&self, channel: &str) -> Event {
        let ended = |events: &[Event]| find(events, "unsubscribed", channel).cloned();
        self.until_some("it is unsubscribed", ended).await
    }

    /// Waits until the server has confirmed a subscription, perhaps one of its own making.
    ///
    /// # Panics
    /// If it is not in time.
    pub async fn subscribed(&self, channel: &str) -> Event {
        let confirmed = |events: &[Event]| find(events, "subscribed", channel).cloned();
        self.until_some("it subscribes", confirmed).await
    }

    /// Calls a service.
    ///
    /// # Errors
    /// What the SDK reports: the service's error, or that there was no answer.
    ///
    /// # Panics
    /// If the SDK reports nothing.
    pub async fn rpc(&self, method: &str, data: Value) -> Result<Value, RpcError> {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.shared
            .calls
            .lock()
            .expect("no panic under the lock")
            .insert(id, answer);
        self.order(&json!({ "order": "rpc", "id": id, "method": method, "data": data }))
            .await;
        let answered = tokio::time::timeout(DEADLINE, answered).await;
        let mut answer = answered
            .unwrap_or_else(|_| panic!("{:?} does not answer {method}", self.kind))
            .unwrap_or_else(|_| panic!("{:?} has ended", self.kind));
        match answer.get("error") {
            None => Ok(answer["data"].take()),
            Some(error) => Err(RpcError {
                code: error["code"].as_u64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                temporary: error["temporary"] == true,
            }),
        }
    }

    /// Calls a service as [`rpc`](Self::rpc), again and again until it succeeds. The
    /// call must be one that may be repeated.
    ///
    /// # Panics
    /// If an error is not temporary, or it does not succeed in time.
    pub async fn rpc_until_done(&self, method: &str, data: Value) -> Value {
        let repeat = async {
            loop {
                match self.rpc(method, data.clone()).await {
                    Ok(answer) => return answer,
                    // The SDK's own errors have codes that servers do not use, and no flag.
                    Err(error) if error.temporary || error.code < 100 => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => panic!("{method}: {error:?}"),
                }
            }
        };
        tokio::time::timeout(DEADLINE, repeat)
            .await
            .unwrap_or_else(|_| panic!("{method} does not succeed"))
    }

    /// All that it has reported up to now.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.events.borrow().clone()
    }

    /// How often it has reported an event up to now.
    #[must_use]
    pub fn count(&self, event: &str) -> usize {
        count(&self.shared.events.borrow(), event)
    }

    /// The publications of a channel up to now, in their order, as `{"offset", "data"}`
    /// with what the SDK adds.
    #[must_use]
    pub fn publications(&self, channel: &str) -> Vec<Event> {
        publications(&self.shared.events.borrow(), channel)
            .cloned()
            .collect()
    }

    /// Waits for the first publication of a channel for whose data something holds.
    ///
    /// # Panics
    /// If there is none in time.
    pub async fn publication(
        &self,
        channel: &str,
        what: &str,
        mut holds: impl FnMut(&Value) -> bool,
    ) -> Event {
        let matching = |events: &[Event]| {
            publications(events, channel)
                .find(|p| holds(&p["data"]))
                .cloned()
        };
        self.until_some(what, matching).await
    }

    /// Waits until something holds for all that was reported.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&[Event]) -> bool) {
        self.until_some(what, |events| holds(events).then_some(()))
            .await;
    }

    /// Waits until there is something in all that was reported.
    ///
    /// # Panics
    /// If there is not in time.
    pub async fn until_some<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&[Event]) -> Option<T>,
    ) -> T {
        let mut events = self.shared.events.subscribe();
        let wait = async {
            loop {
                if let Some(found) = find(&events.borrow_and_update()) {
                    return found;
                }
                if events.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let waited = tokio::time::timeout(DEADLINE, wait).await;
        waited.unwrap_or_else(|_| panic!("in vain waited until {what}: {self:?}"))
    }

    async fn order(&self, order: &Value) {
        let line = format!("{order}\n");
        let mut orders = self.orders.lock().await;
        let written = orders.write_all(line.as_bytes()).await;
        written.unwrap_or_else(|error| panic!("{:?} takes no orders: {error}", self.kind));
    }
}

/// The first event of a kind about a channel.
fn find<'a>(events: &'a [Event], event: &str, channel: &str) -> Option<&'a Event> {
    events
        .iter()
        .find(|e| e["event"] == event && e["channel"] == channel)
}

fn count(events: &[Event], event: &str) -> usize {
    events.iter().filter(|e| e["event"] == event).count()
}

fn publications<'a>(events: &'a [Event], channel: &str) -> impl Iterator<Item = &'a Event> {
    events
        .iter()
        .filter(move |e| e["event"] == "publication" && e["channel"] == channel)
}

async fn read(output: ChildStdout, shared: Arc<Shared>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line: Value = serde_json::from_str(&line).expect("SDK processes speak JSON");
        if let Some(id) = line["id"].as_u64() {
            let call = shared
                .calls
                .lock()
                .expect("no panic under the lock")
                .remove(&id);
            if let Some(call) = call {
                // Whoever has stopped waiting does not want it.
                let _ = call.send(line);
            }
        } else {
            shared.events.send_modify(|events| events.push(line));
        }
    }
    // Nobody answers any more.
    shared
        .calls
        .lock()
        .expect("no panic under the lock")
        .clear();
}

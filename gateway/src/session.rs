//! One client's session: carries out its commands, in order, and what the server
//! decides about it. It knows no socket; it sends frames and closes through its
//! [`Connection`].

mod connect;
mod history;
mod presence;
mod publish;
mod refresh;
mod rpc;
mod server_side;
mod subscribe;
mod subscription;

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tracing::Instrument;
use wire::{
    Command, Disconnect, ErrorCode, PingRequest, Push, PushBody, Reply, ReplyBody, Request,
};

use self::publish::Publishing;
pub(crate) use self::publish::is_allowed;
pub(crate) use self::server_side::{ServerRefresh, ServerSubscribe};
use self::subscription::Subscriptions;
use crate::clock::{Millis, unix_seconds};
use crate::connection::{Closing, Connection, Overflow};
use crate::metrics::{CodeLabels, Method};
use crate::node::Node;

/// Room for most replies.
const REPLY: usize = 384;

/// What the server decides about a session. Closed list: everything that happens
/// to a session besides its client's commands.
#[derive(Debug)]
pub(crate) enum Event {
    /// The server API ends a subscription.
    Unsubscribe {
        /// Which.
        channel: Arc<str>,
        /// The code that the client is told.
        unsubscribe: wire::Unsubscribe,
    },
    /// The server API subscribes the session.
    Subscribe(Box<ServerSubscribe>),
    /// The server API prolongs or expires the session.
    Refresh(Box<ServerRefresh>),
    /// The last publication that this user gets from the channel was delivered.
    SubscriptionEnded {
        /// Which; the hub has already let go of it.
        channel: Arc<str>,
    },
    /// A hole in the channel could not be filled.
    PositionLost {
        /// Which; the hub has already let go of it.
        channel: Arc<str>,
    },
    /// A time that the session asked for has come.
    Tick,
}

/// What a command that is not carried out leads to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error reply.
    Error(wire::Error),
    /// The end of the connection.
    Disconnect(Disconnect),
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

impl From<wire::Error> for Failure {
    fn from(error: wire::Error) -> Self {
        Self::Error(error)
    }
}

impl From<Disconnect> for Failure {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnect(disconnect)
    }
}

/// What a command is answered with.
type Answer = Result<ReplyBody, Failure>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `connect` must come first.
    New,
    Connected,
    /// Answered with an error, or ended: nothing more is carried out.
    Over,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    node: Arc<Node>,
    connection: Arc<Connection>,
    stage: Stage,
    /// The hub knows the connection.
    registered: bool,
    user: Arc<str>,
    conn_info: Bytes,
    /// Unix seconds; 0: never.
    expire_at: i64,
    /// When presence is written again; 0: nothing to write.
    presence_at: Millis,
    subscriptions: Subscriptions,
    /// The user that the operator's proxy vouches for, if it does.
    trusted_user: Option<Box<str>>,
}

impl Session {
    /// A session that must begin with `connect`. `trusted_user`: from the header
    /// that `client.user_id_http_header` names.
    pub(crate) fn new(
        node: Arc<Node>,
        connection: Arc<Connection>,
        trusted_user: Option<Box<str>>,
    ) -> Self {
        Self {
            node,
            connection,
            stage: Stage::New,
            registered: false,
            user: Arc::default(),
            conn_info: Bytes::new(),
            expire_at: 0,
            presence_at: 0,
            subscriptions: Subscriptions::default(),
            trusted_user,
        }
    }

    /// The node that it is on.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Carries out the commands in messages that the client sent, and answers them, all
    /// in order.
    pub(crate) async fn on_messages(&mut self, messages: Vec<Bytes>) {
        let mut publishing = Publishing::default();
        for message in messages {
            for command in wire::decode_commands(self.connection.format(), &message) {
                if self.stage == Stage::Over {
                    break;
                }
                match command {
                    Ok(mut command) => self.on_command(&mut command, &mut publishing).await,
                    Err(error) => {
                        tracing::debug!(session.id = %self.connection.id(), %error, "undecodable frame");
                        self.settle(&mut publishing).await;
                        self.disconnect(Disconnect::BAD_REQUEST);
                    }
                }
            }
            // What a client sent before it closed still counts.
            if self.connection.is_refused() {
                break;
            }
        }
        self.settle(&mut publishing).await;
    }

    /// The command is borrowed: it is large enough for its moves to be felt.
    async fn on_command(&mut self, command: &mut Command, publishing: &mut Publishing) {
        let is_publish = matches!(command.request, Some(Request::Publish(_)));
        // Only publications are carried out while others are on their way.
        if !publishing.is_empty() && (!is_publish || publishing.is_full()) {
            Box::pin(self.settle(publishing)).await;
        }
        let id = command.id;
        let Some(request) = &mut command.request else {
            if id != 0 || !self.connection.pong(self.node.wheel()) {
                self.disconnect(Disconnect::BAD_REQUEST);
            }
            return;
        };
        if id == 0 && !matches!(request, Request::Send(_)) {
            // Whatever it is, it counts as a pong: nobody waits for its reply.
            if !self.connection.pong(self.node.wheel()) {
                self.disconnect(Disconnect::BAD_REQUEST);
            }
            return;
        }
        let is_connect = matches!(request, Request::Connect(_));
        if is_connect != (self.stage == Stage::New) {
            self.disconnect(Disconnect::BAD_REQUEST);
            return;
        }
        let method = Method::of(request);
        self.node.metrics.command(method).received.inc();
        let began = Instant::now();
        // Boxed one by one: a command takes the room of its own kind.
        let answer = match request {
            Request::Connect(request) => {
                let connect = Box::pin(self.connect(id, request));
                connect.await.map(|()| None)
            }
            Request::Subscribe(request) => {
                let subscribe = Box::pin(self.subscribe(id, request));
                subscribe.await.map(|()| None)
            }
            Request::Publish(request) if !self.node.traced => {
                match self.begin_publish(mem::take(request)).await {
                    Ok(begun) => return self.on_begun(id, began, begun, publishing),
                    Err(failure) => {
                        Box::pin(self.settle(publishing)).await;
                        Err(failure)
                    }
                }
            }
            other => {
                let request = mem::replace(other, Request::Ping(PingRequest {}));
                let others = Box::pin(self.dispatch(request, method.name()));
                others.await.map(Some)
            }
        };
        self.answer(id, method, began, answer);
    }

    fn answer(
        &mut self,
        id: u32,
        method: Method,
        began: Instant,
        answer: Result<Option<ReplyBody>, Failure>,
    ) {
        let took = began.elapsed().as_secs_f64();
        self.node.metrics.command(method).duration.observe(took);
        match answer {
            Ok(Some(body)) => self.reply(id, body),
            Ok(None) => {}
            Err(Failure::Error(error)) => self.refuse(id, error, method == Method::Connect),
            Err(Failure::Disconnect(disconnect)) => self.disconnect(disconnect),
        }
    }

    /// Carries out what is neither `connect` nor `subscribe`, which answer by
    /// themselves.
    async fn dispatch(&mut self, request: Request, method: &'static str) -> Answer {
        match request {
            Request::Publish(_) | Request::Rpc(_) if self.node.traced => {
                // The beginning of a trace that goes on in a service, or with the
                // publication to the nodes that deliver it.
                let span =
                    tracing::info_span!("command", rpc.method = method, otel.kind = "server");
                self.carry_out(request).instrument(span).await
            }
            _ => self.carry_out(request).await,
        }
    }

    async fn carry_out(&mut self, request: Request) -> Answer {
        match request {
            Request::Unsubscribe(request) => self.unsubscribe(&request).await,
            Request::Publish(request) => self.publish(request).await,
            Request::Presence(request) => self.presence(&request).await,
            Request::PresenceStats(request) => self.presence_stats(&request).await,
            Request::History(request) => self.history(request).await,
            Request::Rpc(request) => self.rpc(request).await,
            Request::Refresh(request) => self.refresh(&request).await,
            Request::SubRefresh(request) => self.sub_refresh(&request).await,
            // Nothing listens to messages that are not answered.
            Request::Send(_) => Err(Disconnect::NOT_AVAILABLE.into()),
            // It is in the schema, but no way to keep a connection alive; and the
            // others are not for here.
            Request::Ping(_) | Request::Connect(_) | Request::Subscribe(_) => {
                Err(Disconnect::BAD_REQUEST.into())
            }
        }
    }

    /// Carries out what the server decided.
    pub(crate) async fn on_event(&mut self, event: Event) {
        if self.stage != Stage::Connected {
            return;
        }
        match event {
            Event::Unsubscribe {
                channel,
                unsubscribe,
            } => {
                self.end_subscription(&channel, Some(unsubscribe)).await;
            }
            Event::Subscribe(subscribe) => self.server_subscribe(*subscribe).await,
            Event::Refresh(refresh) => self.server_refresh(*refresh),
            Event::SubscriptionEnded { channel } => {
                self.end_subscription(&channel, Some(wire::Unsubscribe::SERVER))
                    .await;
            }
            Event::PositionLost { channel } => self.position_lost(&channel).await,
            Event::Tick => self.tick().await,
        }
    }

    /// A hole that cannot be filled: the client comes back and recovers.
    async fn position_lost(&mut self, channel: &str) {
        match self.subscriptions.get(channel) {
            None => {}
            // Server-side subscriptions come back only with the connection.
            Some(subscription) if subscription.origin.is_server_side() => {
                self.disconnect(Disconnect::INSUFFICIENT_STATE);
            }
            Some(_) => {
                self.end_subscription(channel, Some(wire::Unsubscribe::INSUFFICIENT_STATE))
                    .await;
            }
        }
    }

    /// Does what is due: expiry of the session and of subscriptions, presence.
    async fn tick(&mut self) {
        let now = unix_seconds();
        let config = &self.node.config.client;
        if self.expire_at != 0 && now >= self.expire_at + seconds(config.expired_close_delay.get())
        {
            self.disconnect(Disconnect::CONNECTION_EXPIRED);
            return;
        }
        let grace = seconds(config.expired_sub_close_delay.get());
        for channel in self.subscriptions.expired(now - grace) {
            if self
                .subscriptions
                .get(&channel)
                .is_some_and(|one| one.origin.is_server_side())
            {
                self.disconnect(Disconnect::SUBSCRIPTION_EXPIRED);
                return;
            }
            self.end_subscription(&channel, Some(wire::Unsubscribe::EXPIRED))
                .await;
        }
        self.refresh_presence().await;
        self.plan_tick();
    }

    /// Asks to be woken for the next thing that is due.
    fn plan_tick(&self) {
        let config = &self.node.config.client;
        let at = |unix: i64| {
            let ahead = u64::try_from(unix - unix_seconds()).unwrap_or(0);
            self.node.clock.now() + ahead * 1000 + 1
        };
        let connection = (self.expire_at != 0)
            .then(|| at(self.expire_at + seconds(config.expired_close_delay.get())));
        let grace = seconds(config.expired_sub_close_delay.get());
        let subscription = self
            .subscriptions
            .next_expiry()
            .map(|unix| at(unix + grace));
        let presence = (self.presence_at != 0).then_some(self.presence_at);
        let next = [connection, subscription, presence]
            .into_iter()
            .flatten()
            .min();
        self.connection.wake_session_at(next.unwrap_or(0));
        if let Some(next) = next {
            self.node.wheel().add(&self.connection, next);
        }
    }

    /// Lets go of everything. Called once, when the connection ends.
    pub(crate) async fn end(&mut self) {
        self.stage = Stage::Over;
        for subscription in self.subscriptions.take_all() {
            self.leave_hub(&subscription);
            self.let_go(subscription).await;
        }
        if mem::take(&mut self.registered) {
            self.node.hub.remove(&self.user, &self.connection);
        }
    }

    fn reply(&mut self, id: u32, body: ReplyBody) {
        self.send(&Reply::new(id, body));
    }

    fn push(&mut self, channel: &str, body: PushBody) {
        self.send(&Reply::push(Push {
            channel: channel.to_owned(),
            body,
        }));
    }

    fn send(&mut self, reply: &Reply) {
        let format = self.connection.format();
        let mut message = Vec::with_capacity(REPLY);
        if wire::encode_reply(format, reply, &mut message).is_err() {
            self.disconnect(Disconnect::INAPPROPRIATE_PROTOCOL);
            return;
        }
        self.connection
            .send(&Connection::frame(format, &message), Overflow::Disconnect);
    }

    fn refuse(&mut self, id: u32, error: wire::Error, is_connect: bool) {
        tracing::debug!(session.id = %self.connection.id(), code = error.code.0, "command refused");
        self.node
            .metrics
            .reply_errors
            .get_or_create(&CodeLabels { code: error.code.0 })
            .inc();
        self.reply(id, ReplyBody::Error(error));
        if is_connect {
            // The client reads the error, and closes or is closed a little later.
            self.stage = Stage::Over;
            self.connection.close(Closing::ConnectFailed);
        }
    }

    fn disconnect(&mut self, disconnect: Disconnect) {
        self.stage = Stage::Over;
        self.connection.close(Closing::Disconnect(disconnect));
    }
}

/// Whole seconds of a duration.
fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2)
}

/// Longest life that a client is told (365 days).
const MAX_TTL: i64 = 365 * 24 * 3600;

/// What is left until `expire_at`, for a client; `None`: it never ends (0).
///
/// # Errors
/// Error 110: nothing is left.
fn time_left(expire_at: i64) -> Result<Option<u32>, ErrorCode> {
    if expire_at == 0 {
        return Ok(None);
    }
    let left = expire_at - unix_seconds();
    if left <= 0 {
        return Err(ErrorCode::EXPIRED);
    }
    Ok(Some(u32::try_from(left.min(MAX_TTL)).unwrap_or(u32::MAX)))
}

//! One connection to Redis, which many tasks share.
//!
//! Who asks writes its command into a buffer and waits; a task of the connection, the
//! [`Driver`], sends the buffer, reads the answers, which come in the order of the
//! commands, and hands over what Redis sends unasked. So what is asked for while the
//! thread does something else goes out in one write, and a command costs neither a
//! channel nor a timer: the driver looks now and then for those that are late.
//!
//! The library's multiplexed connection does the same for every kind of use. Of eight
//! nodes with 250 publications a second each it took 6 % of the processor time, besides
//! the timers of its callers; this one with its [reader](Reader) takes 1 %.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::FutureExt as _;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;

use super::resp::{Item, Reader};

/// What may wait for its answer. Beyond it a command fails at once: Redis does not keep
/// up.
const MAX_WAITING: usize = 256 * 1024;
/// Bytes that may wait for being sent.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Room that is made for each read.
const READ: usize = 16 * 1024;
/// A buffer that has become larger is let go when it is empty.
const KEPT: usize = 64 * 1024;
/// How often late answers are looked for within the time that an answer may take.
const LOOKS: u32 = 4;

/// What Redis sends unasked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Push<'a> {
    /// A message of a pub/sub channel.
    Message {
        /// The channel.
        name: &'a [u8],
        /// What was published.
        payload: &'a [u8],
    },
    /// A subscription is in force: what is published from here on comes.
    Subscribed(&'a [u8]),
    /// The connection is gone. The last that comes.
    Lost,
}

/// A handle; all clones are one connection, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Connection(Arc<Handles>);

#[derive(Debug)]
struct Handles {
    shared: Arc<Shared>,
    patience: Duration,
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.driver.wake();
    }
}

/// What handles and the driver share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    driver: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// Commands to be sent.
    out: Vec<u8>,
    /// Who waits for the answers, in their order.
    waiting: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    /// Answers that are still to come.
    missing: usize,
    /// They are pushed, as confirmations of subscriptions.
    confirmed: bool,
    /// `None`: whoever asks takes care of it.
    deadline: Option<Instant>,
    asking: Asking,
}

#[derive(Debug)]
enum Asking {
    One(oneshot::Sender<RedisResult<Value>>),
    Many(oneshot::Sender<RedisResult<Vec<Value>>>, Vec<Value>),
    /// It was told that it is late.
    Nobody,
}

impl Connection {
    /// A connection over a stream, and what must be run for it. An answer may take as long
    /// as `patience` if nothing else is said.
    ///
    /// `on_push` gets what Redis sends unasked, in the order in which it comes. It must not
    /// wait.
    pub(super) fn new<S: AsyncRead + AsyncWrite + Unpin>(
        stream: S,
        patience: Duration,
        on_push: impl Fn(Push<'_>),
    ) -> (Self, impl Future<Output = ()>) {
        let shared = Arc::new(Shared::default());
        let driver = Driver {
            shared: Arc::clone(&shared),
            stream,
            on_push,
            reader: Reader::default(),
            input: BytesMut::new(),
            sending: Vec::new(),
            sent: 0,
            look: None,
            look_after: patience / LOOKS,
        };
        (Self(Arc::new(Handles { shared, patience })), driver.run())
    }

    /// Sends a command and waits for its answer, which may be an error of the server
    /// ([`Value::extract_error`]).
    ///
    /// # Errors
    /// The connection is gone; too much waits already; or the answer has not come by the
    /// deadline, or a part of `patience` later ([`redis::RedisError::is_timeout`]).
    pub(super) async fn ask(&self, command: &Cmd, deadline: Instant) -> RedisResult<Value> {
        let (sender, answer) = oneshot::channel();
        let waiting = Waiting {
            missing: 1,
            confirmed: false,
            deadline: Some(deadline),
            asking: Asking::One(sender),
        };
        self.begin(waiting, |out| command.write_packed_command(out))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Subscribes to pub/sub channels and waits, for ever, until all are in force.
    ///
    /// # Errors
    /// The connection is gone, too much waits already, or those of the server.
    pub(super) async fn subscribe(&self, names: &[String]) -> RedisResult<()> {
        self.change("SUBSCRIBE", names).await
    }

    /// The opposite of [`subscribe`](Self::subscribe).
    ///
    /// # Errors
    /// As there.
    pub(super) async fn unsubscribe(&self, names: &[String]) -> RedisResult<()> {
        self.change("UNSUBSCRIBE", names).await
    }

    async fn change(&self, name: &str, names: &[String]) -> RedisResult<()> {
        if names.is_empty() {
            // Without a name the command would be about all.
            return Ok(());
        }
        let mut command = Cmd::new();
        command.arg(name).arg(names);
        let (sender, answer) = oneshot::channel();
        let waiting = Waiting {
            missing: names.len(),
            confirmed: true,
            deadline: None,
            asking: Asking::Many(sender, Vec::new()),
        };
        self.begin(waiting, |out| command.write_packed_command(out))?;
        answer.await.unwrap_or_else(|_| Err(gone())).map(drop)
    }

    fn begin(&self, waiting: Waiting, write: impl FnOnce(&mut Vec<u8>)) -> RedisResult<()> {
        let shared = &self.0.shared;
        let mut state = shared.state.lock();
        if state.closed {
            return Err(gone());
        }
        if state.waiting.len() >= MAX_WAITING || state.out.len() >= MAX_BYTES {
            let text = "too many commands wait for redis".to_owned();
            return Err(redis::make_extension_error("BUSY".to_owned(), Some(text)));
        }
        let was_empty = state.out.is_empty();
        write(&mut state.out);
        state.waiting.push_back(waiting);
        drop(state);
        // Otherwise it has been woken, or waits for the stream to take more.
        if was_empty {
            shared.driver.wake();
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.patience
    }
}

/// For what the library makes of it: scripts, pipelines, answers of any type.
impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.ask(command, self.deadline()).boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let ask = async move {
            if offset + count == 0 {
                return Ok(Vec::new());
            }
            let (sender, answer) = oneshot::channel();
            let waiting = Waiting {
                missing: offset + count,
                confirmed: false,
                deadline: Some(self.deadline()),
                asking: Asking::Many(sender, Vec::new()),
            };
            let commands = pipeline.get_packed_pipeline();
            self.begin(waiting, |out| out.extend_from_slice(&commands))?;
            let mut values = answer.await.unwrap_or_else(|_| Err(gone()))?;
            Ok(values.split_off(offset))
        };
        ask.boxed()
    }

    fn get_db(&self) -> i64 {
        0
    }
}

impl Shared {
    /// Nothing is asked for any more, and all who wait are told.
    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.out = Vec::new();
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        for one in waiting {
            one.asking.fail(gone);
        }
    }

    /// An answer came: it is the first one's.
    fn answer(&self, value: Value) -> io::Result<()> {
        let mut state = self.state.lock();
        let first = state.waiting.front().ok_or_else(not_understood)?;
        if !first.confirmed {
            state.give(value);
            return Ok(());
        }
        // A subscription is refused as a whole.
        let Value::ServerError(error) = value else {
            return Err(not_understood());
        };
        if let Some(refused) = state.waiting.pop_front() {
            refused.asking.fail(|| error.into());
        }
        Ok(())
    }

    /// A subscription was confirmed, or its end: of the first one, if it has asked for it.
    fn confirm(&self) {
        let mut state = self.state.lock();
        if state.waiting.front().is_some_and(|first| first.confirmed) {
            state.give(Value::Okay);
        }
    }

    /// Tells those who have waited long enough. Their answers are not given to others.
    fn expire(&self) {
        let now = Instant::now();
        let mut late = Vec::new();
        for waiting in &mut self.state.lock().waiting {
            if waiting.deadline.is_some_and(|deadline| deadline <= now) {
                late.push(mem::replace(&mut waiting.asking, Asking::Nobody));
            }
        }
        for asking in late {
            asking.fail(|| io::Error::from(io::ErrorKind::TimedOut).into());
        }
    }
}

impl State {
    /// Gives the first who waits one of the answers that are missing. Waking a task only
    /// schedules it.
    fn give(&mut self, value: Value) {
        let Some(mut first) = self.waiting.pop_front() else {
            return;
        };
        first.missing -= 1;
        match first.asking {
            // If nobody waits any more: fine.
            Asking::One(sender) => drop(sender.send(Ok(value))),
            Asking::Many(sender, mut values) => {
                values.push(value);
                if first.missing == 0 {
                    drop(sender.send(Ok(values)));
                } else {
                    first.asking = Asking::Many(sender, values);
                    self.waiting.push_front(first);
                }
            }
            Asking::Nobody if first.missing > 0 => self.waiting.push_front(first),
            Asking::Nobody => {}
        }
    }
}

impl Asking {
    fn fail(self, error: impl FnOnce() -> redis::RedisError) {
        // If nobody waits any more: fine.
        match self {
            Self::One(sender) => drop(sender.send(Err(error()))),
            Self::Many(sender, _) => drop(sender.send(Err(error()))),
            Self::Nobody => {}
        }
    }
}

fn gone() -> redis::RedisError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

fn not_understood() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "an answer that nobody waits for",
    )
}

/// See the module.
struct Driver<S, F> {
    shared: Arc<Shared>,
    stream: S,
    on_push: F,
    reader: Reader,
    /// Received, and not read yet.
    input: BytesMut,
    /// Commands that the stream takes, so far up to `sent`.
    sending: Vec<u8>,
    sent: usize,
    /// When late answers are looked for; none: nobody waits.
    look: Option<Pin<Box<Sleep>>>,
    look_after: Duration,
}

impl<S, F> Drop for Driver<S, F> {
    /// Also when its runtime ends.
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, F: Fn(Push<'_>)> Driver<S, F> {
    /// Until the stream ends, or the last handle is dropped.
    async fn run(mut self) {
        let Err(error) = poll_fn(|cx| self.poll(cx)).await;
        tracing::debug!(%error, "a connection to redis ended");
        self.shared.close();
        (self.on_push)(Push::Lost);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<std::convert::Infallible>> {
        self.shared.driver.register(cx.waker());
        if self.shared.state.lock().closed {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(Err(error)) = self.poll_receive(cx) {
            return Poll::Ready(Err(error));
        }
        self.poll_look(cx);
        Poll::Pending
    }

    /// Ready with an error, or when nothing is left to be sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.sent == self.sending.len() {
                self.sent = 0;
                self.sending.clear();
                self.sending.shrink_to(KEPT);
                mem::swap(&mut self.shared.state.lock().out, &mut self.sending);
                if self.sending.is_empty() {
                    return Pin::new(&mut self.stream).poll_flush(cx);
                }
            }
            let rest = &self.sending[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
    }

    /// Ready with an error only.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.input.reserve(READ);
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_read_buf(stream, cx, &mut self.input))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.take()?;
            if self.input.is_empty() && self.input.capacity() > KEPT {
                self.input = BytesMut::new();
            }
        }
    }

    /// Deals with what was received.
    fn take(&mut self) -> io::Result<()> {
        loop {
            let read = self.reader.read(&self.input);
            let (used, item) =
                read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match item {
                None => {
                    self.input.advance(used);
                    return Ok(());
                }
                Some(Item::Reply(value)) => self.shared.answer(value)?,
                Some(Item::Message { name, payload }) => {
                    (self.on_push)(Push::Message { name, payload });
                }
                Some(Item::Push(values)) => self.pushed(&values),
            }
            self.input.advance(used);
        }
    }

    fn pushed(&self, values: &[Value]) {
        use Value::BulkString;
        match values {
            // In two pieces, or it would have been an item of its own.
            [BulkString(kind), BulkString(name), BulkString(payload)] if kind == b"message" => {
                (self.on_push)(Push::Message { name, payload });
            }
            [BulkString(kind), name, ..] if kind == b"subscribe" => {
                if let BulkString(name) = name {
                    (self.on_push)(Push::Subscribed(name));
                }
                self.shared.confirm();
            }
            [BulkString(kind), ..] if kind == b"unsubscribe" => self.shared.confirm(),
            _ => {}
        }
    }

    fn poll_look(&mut self, cx: &mut Context<'_>) {
        loop {
            let Some(look) = &mut self.look else {
                if self.shared.state.lock().waiting.is_empty() {
                    return;
                }
                self.look = Some(Box::pin(sleep(self.look_after)));
                continue;
            };
            if look.as_mut().poll(cx).is_pending() {
                return;
            }
            self.look = None;
            self.shared.expire();
        }
    }
}

#[cfg(test)]
mod tests;

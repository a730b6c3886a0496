//! The task that owns a connection: it reads the client's frames, hands messages
//! and events to the session one after the other, writes what waits in the
//! outbox, and closes. While there is nothing to do it rests: the
//! [poller](crate::poller) keeps it, and sees to it that it goes on.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::yield_now;
use tokio::time::{Sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Closing, Connection, Overflow, Shared};
use crate::session::{Event, Session};
use crate::websocket::frame::{self, Incoming, Reader};

/// Received at once; shared by all connections of a thread.
const SCRATCH: usize = 64 * 1024;
/// How long a close frame may take to be sent.
const CLOSE_SEND: Duration = Duration::from_secs(1);
/// How long the client may take to answer a close frame.
const CLOSE_ANSWER: Duration = Duration::from_secs(5);

thread_local! {
    /// What is received is looked at here, before anything else is.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Lends the thread's buffer for what is received.
pub(crate) fn with_buffer<T>(receive: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| receive(buffer))
}

/// What the task has to do next.
enum Next {
    Read,
    Events(Vec<Event>),
    Close,
    Rest,
}

/// How long the socket has taken nothing.
type Stall = Option<Pin<Box<Sleep>>>;

/// A connection's task. It takes a seat in the poller, and leaves it when it is dropped.
#[derive(Debug)]
pub(crate) struct Task {
    connection: Arc<Connection>,
    session: Session,
    reader: Reader,
    /// The node waits for it when it drains.
    _drained: TaskTrackerToken,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.connection.seat.leave();
    }
}

impl Task {
    /// The task of a connection and its session.
    pub(crate) fn new(
        connection: Arc<Connection>,
        session: Session,
        drained: TaskTrackerToken,
    ) -> Box<Self> {
        Box::new(Self {
            connection,
            session,
            reader: Reader::default(),
            _drained: drained,
        })
    }

    /// The connection that it is the task of.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Reads if that is all there is to do, as for a pong. `None`: it rests again;
    /// else it has to [work](Self::work), first at these messages, if any.
    pub(crate) fn look(&mut self) -> Option<Vec<Bytes>> {
        let messages = if self.connection.has_only_to_read() {
            self.receive()
        } else {
            Vec::new()
        };
        let between_messages = self.reader.is_between_messages();
        let rests = messages.is_empty() && self.connection.rest(between_messages);
        (!rests).then_some(messages)
    }

    /// Carries out messages, and then whatever there is to do, until the task rests or
    /// the connection has ended (`None`).
    pub(crate) async fn work(mut self: Box<Self>, messages: Vec<Bytes>) -> Option<Box<Self>> {
        self.messages(messages).await;
        // Runs while the socket takes nothing.
        let mut stall = None;
        loop {
            let connection = &self.connection;
            let between_messages = self.reader.is_between_messages();
            match poll_fn(|cx| connection.poll_next(cx, &mut stall, between_messages)).await {
                Next::Read => {
                    let messages = self.receive();
                    self.messages(messages).await;
                    if self.connection.is_readable() {
                        // Others of the thread first.
                        yield_now().await;
                    }
                }
                Next::Events(events) => self.events(events).await,
                Next::Close => {
                    Box::pin(self.finish()).await;
                    return None;
                }
                Next::Rest => return Some(self),
            }
        }
    }

    /// Reads what the socket has, and returns the messages in it.
    fn receive(&mut self) -> Vec<Bytes> {
        with_buffer(|buffer| match self.connection.read(buffer) {
            Some(bytes) => self.take(&buffer[..bytes]),
            None => {
                self.connection.close(Closing::Lost);
                Vec::new()
            }
        })
    }

    /// Parses what a [look](Connection::look) has received into the thread's buffer.
    pub(crate) fn take_from_buffer(&mut self, bytes: usize) -> Vec<Bytes> {
        with_buffer(|buffer| self.take(&buffer[..bytes]))
    }

    /// Parses what was received. Control frames and the answers to pings are dealt with
    /// here; the messages are for [`Self::work`].
    pub(crate) fn take(&mut self, received: &[u8]) -> Vec<Bytes> {
        let connection = &self.connection;
        let session = &self.session;
        let mut messages = Vec::new();
        let mut closed = None;
        let limit = connection.rules.message_size;
        let parsed = self
            .reader
            .read(received, limit, |incoming| match incoming {
                // Nothing counts after a close frame.
                _ if closed.is_some() => {}
                Incoming::Message(message) => {
                    let is_pong = message == wire::empty_command(connection.format);
                    if !is_pong || !connection.pong(session.node().wheel()) {
                        messages.push(message);
                    }
                }
                Incoming::Ping(payload) => {
                    connection.send(&frame::pong(&payload), Overflow::Disconnect);
                }
                Incoming::Pong => {}
                Incoming::Close(code) => closed = Some(code),
            });
        if let Err(violation) = parsed {
            connection.close(Closing::Violation(violation.code()));
        } else if let Some(code) = closed {
            connection.close(Closing::ClientClosed(code));
        }
        messages
    }

    /// Boxed, as the rest: otherwise it would be moved with everything that it is a part of.
    async fn messages(&mut self, messages: Vec<Bytes>) {
        if !messages.is_empty() {
            let work = Box::pin(self.session.on_messages(messages));
            supervise(&self.connection, work).await;
            let deliveries = self.session.node().deliveries();
            deliveries.uncork_after(&self.connection);
        }
    }

    async fn events(&mut self, events: Vec<Event>) {
        let session = &mut self.session;
        let work = Box::pin(async {
            for event in events {
                session.on_event(event).await;
            }
        });
        supervise(&self.connection, work).await;
        self.connection.uncork_to_write();
    }
}

impl Connection {
    /// Whether there is something to read, and nothing else to do. Whoever asks reads.
    fn has_only_to_read(&self) -> bool {
        self.takes_readable(&mut self.shared.lock())
    }

    pub(super) fn takes_readable(&self, shared: &mut Shared) -> bool {
        shared.has_nothing_to_do() && !self.socket.holds_back() && shared.readiness.take_readable()
    }

    fn is_readable(&self) -> bool {
        self.shared.lock().readiness.is_readable()
    }

    /// Lets the task rest, if there is nothing to do. `between_messages`: its reader holds
    /// nothing.
    pub(super) fn rest(&self, between_messages: bool) -> bool {
        let shared = &mut *self.shared.lock();
        shared.between_messages = between_messages;
        shared.has_nothing_to_do() && !self.socket.holds_back() && shared.readiness.rest()
    }

    fn poll_next(
        &self,
        cx: &mut Context<'_>,
        stall: &mut Stall,
        between_messages: bool,
    ) -> Poll<Next> {
        self.poll_flush(cx, stall);
        let mut shared = self.shared.lock();
        if shared.closing.is_some() {
            return Poll::Ready(Next::Close);
        }
        if let Some(events) = shared.mailbox.take() {
            return Poll::Ready(Next::Events(*events));
        }
        if shared.readiness.take_readable() {
            return Poll::Ready(Next::Read);
        }
        drop(shared);
        if self.rest(between_messages) {
            return Poll::Ready(Next::Rest);
        }
        Poll::Pending
    }

    /// Writes what waits as far as the socket takes it, and closes the connection
    /// when it has taken nothing for too long. The timer exists only meanwhile.
    fn poll_flush(&self, cx: &mut Context<'_>, stall: &mut Stall) {
        loop {
            let before = self.queued_bytes();
            if self.is_corked() || (before == 0 && !self.socket.holds_back()) {
                *stall = None;
                return;
            }
            if !self.is_writable() {
                break;
            }
            match self.flush() {
                Ok(true) => {
                    *stall = None;
                    return;
                }
                Ok(false) if self.queued_bytes() < before => *stall = None,
                Ok(false) => {}
                Err(_) => return self.close(Closing::Lost),
            }
        }
        let stall =
            stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.rules.write_timeout)));
        if stall.as_mut().poll(cx).is_ready() {
            self.close(Closing::Disconnect(wire::Disconnect::WRITE_ERROR));
        }
    }

    fn is_corked(&self) -> bool {
        self.shared.lock().corked
    }

    fn is_writable(&self) -> bool {
        self.shared.lock().readiness.is_writable()
    }

    fn take_readable(&self) -> bool {
        self.shared.lock().readiness.take_readable()
    }
}

impl Shared {
    /// But for the socket.
    fn has_nothing_to_do(&self) -> bool {
        let writes = !self.corked && !self.outbox.is_empty();
        self.closing.is_none() && self.mailbox.is_none() && !writes
    }
}

/// Lets the session work. What it sends between two waits is written together, and what
/// it sends last once the connection is uncorked; and the outbox is written also while
/// the session waits for something else.
async fn supervise(connection: &Connection, mut work: Pin<Box<impl Future<Output = ()>>>) {
    let mut stall = None;
    let mut first = true;
    poll_fn(|cx| {
        connection.cork();
        let done = work.as_mut().poll(cx);
        if done.is_pending() {
            connection.uncork_to_write();
            if std::mem::take(&mut first) {
                connection.set_busy(true);
            }
            connection.poll_flush(cx, &mut stall);
        }
        done
    })
    .await;
    if !first {
        connection.set_busy(false);
    }
}

impl Task {
    /// Says goodbye: the session lets go of all that it holds, and the close frame
    /// is sent and answered, each within its time.
    async fn finish(&mut self) {
        let connection = Arc::clone(&self.connection);
        let closing = connection.shared.lock().closing.clone();
        let closing = closing.map_or(Closing::Lost, |closing| *closing);
        let close_frame = match &closing {
            Closing::Disconnect(disconnect) => Some(frame::close(
                u16::try_from(disconnect.code).unwrap_or(1011),
                &disconnect.reason,
            )),
            Closing::Violation(code) => Some(frame::close(*code, "")),
            Closing::ClientClosed(code) => Some(frame::close(code.unwrap_or(1000), "")),
            Closing::Lost | Closing::ConnectFailed => None,
        };
        if let Some(close_frame) = close_frame {
            let mut shared = connection.shared.lock();
            if matches!(&closing, Closing::Disconnect(disconnect) if disconnect.code == wire::Disconnect::SLOW.code)
            {
                shared.outbox.discard();
            }
            shared.outbox.push_last(close_frame);
            drop(shared);
            // At once if the socket takes it: letting go may wait for the broker.
            let _written_or_later = connection.flush();
        }
        self.session.end().await;
        let send_within = CLOSE_SEND.max(connection.rules.write_timeout);
        let _sent_or_late = timeout(send_within, flush_all(&connection)).await;
        match &closing {
            // The one who was asked to close waits for the other to hang up (RFC 6455, 7.1.1).
            Closing::Disconnect(_) | Closing::ConnectFailed => {
                let closed = closed_by_client(&connection, &mut self.reader);
                let _answered_or_late = timeout(CLOSE_ANSWER, closed).await;
            }
            Closing::Violation(_) | Closing::ClientClosed(_) | Closing::Lost => {}
        }
        let metrics = &self.session.node().metrics;
        metrics.connections.dec();
        metrics.closes.get_or_create(&closing.labels()).inc();
    }
}

async fn flush_all(connection: &Connection) -> io::Result<()> {
    while !connection.flush()? {
        until(|| connection.is_writable()).await;
    }
    Ok(())
}

/// Waits for what the event loop tells, which has the task polled.
async fn until(mut told: impl FnMut() -> bool) {
    poll_fn(|_| {
        if told() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Reads until the client closes; what it still sends is not looked at.
async fn closed_by_client(connection: &Connection, reader: &mut Reader) {
    loop {
        until(|| connection.take_readable()).await;
        let goes_on = with_buffer(|buffer| {
            let Some(bytes) = connection.read(buffer) else {
                return false;
            };
            let mut closed = false;
            let parsed = reader.read(&buffer[..bytes], SCRATCH, |incoming| {
                closed |= matches!(incoming, Incoming::Close(_));
            });
            parsed.is_ok() && !closed
        });
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;

    use super::*;
    use crate::poller::Poller;
    use crate::poller::tests::connect;

    /// It waits for the socket and for what the session waits for, and not for itself.
    #[tokio::test]
    async fn who_waits_with_a_full_socket_is_polled_no_more_until_told() {
        let (connection, _client) = connect(&Poller::new().unwrap()).await;
        let frame = Bytes::from(vec![0; 64 * 1024]);
        while connection.queued_bytes() == 0 {
            connection.send(&frame, Overflow::Disconnect);
        }
        connection.on_call();
        let waits = supervise(&connection, Box::pin(pending()));
        assert!(waits.now_or_never().is_none());
        assert!(connection.queued_bytes() > 0);
        assert!(!connection.shared.lock().readiness.is_called());
    }

    /// Every idle connection holds one of each.
    #[test]
    fn what_an_idle_connection_holds_is_small() {
        let sizes = [size_of::<Task>(), size_of::<Connection>()];
        let limits = [184, 160];
        assert!(
            sizes.iter().zip(limits).all(|(&size, limit)| size <= limit),
            "{sizes:?} bytes"
        );
    }
}

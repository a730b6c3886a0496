//! The task that owns a connection: it reads the client's frames, hands messages
//! and events to the session one after the other, writes what waits in the
//! outbox, and closes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::yield_now;
use tokio::time::{Sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Closing, Connection, Overflow};
use crate::session::{Event, Session};
use crate::websocket::frame::{self, Incoming, Reader};

/// Received at once; shared by all connections of a thread.
const SCRATCH: usize = 64 * 1024;
/// How long a close frame may take to be sent.
const CLOSE_SEND: Duration = Duration::from_secs(1);
/// How long the client may take to answer a close frame.
const CLOSE_ANSWER: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// What the task wakes up for.
enum Wake {
    Readable,
    Events(Vec<Event>),
    Closing,
}

/// A connection's task. All of it lies in one allocation, so that what waits (the
/// future of [`Task::run`]) is small: a node holds one for every idle connection.
#[derive(Debug)]
pub(crate) struct Task {
    connection: Arc<Connection>,
    session: Session,
    reader: Reader,
    /// The node waits for it when it drains.
    _drained: TaskTrackerToken,
    /// Runs while the socket takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
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
            stall: None,
        })
    }

    /// Takes bytes that arrived together with the handshake.
    pub(crate) async fn early(&mut self, bytes: Bytes) {
        let messages = self.take(&bytes);
        drop(bytes);
        self.messages(messages).await;
    }

    /// Runs the connection to its end.
    pub(crate) async fn run(mut self: Box<Self>) {
        loop {
            match poll_fn(|cx| self.connection.poll_wake(cx, &mut self.stall)).await {
                Wake::Readable => {
                    let (messages, more) = self.receive();
                    if !messages.is_empty() {
                        Box::pin(self.messages(messages)).await;
                    }
                    if more {
                        yield_now().await;
                    }
                }
                Wake::Events(events) => Box::pin(self.events(events)).await,
                Wake::Closing => return Box::pin(self.finish()).await,
            }
        }
    }

    /// Reads what the socket has, and returns the messages in it, and whether there
    /// may be more to read.
    fn receive(&mut self) -> (Vec<Bytes>, bool) {
        BUFFER.with_borrow_mut(|buffer| match self.connection.socket.try_read(buffer) {
            Ok(0) => {
                self.connection.close(Closing::Lost);
                (Vec::new(), false)
            }
            Ok(n) => (self.take(&buffer[..n]), n == buffer.len()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (Vec::new(), false),
            Err(_) => {
                self.connection.close(Closing::Lost);
                (Vec::new(), false)
            }
        })
    }

    /// Parses received bytes. Control frames and the answers to pings are dealt
    /// with here.
    fn take(&mut self, received: &[u8]) -> Vec<Bytes> {
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
                    let is_pong = wire::is_empty_command(connection.format, &message);
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

    async fn messages(&mut self, messages: Vec<Bytes>) {
        let work = self.session.on_messages(messages);
        supervise(&self.connection, pin!(work)).await;
    }

    async fn events(&mut self, events: Vec<Event>) {
        let session = &mut self.session;
        let work = async {
            for event in events {
                session.on_event(event).await;
            }
        };
        supervise(&self.connection, pin!(work)).await;
    }
}

impl Connection {
    fn poll_wake(&self, cx: &mut Context<'_>, stall: &mut Option<Pin<Box<Sleep>>>) -> Poll<Wake> {
        self.task.register(cx.waker());
        self.poll_flush(cx, stall);
        let mut shared = self.shared.lock();
        if shared.closing.is_some() {
            return Poll::Ready(Wake::Closing);
        }
        if let Some(events) = shared.mailbox.take() {
            return Poll::Ready(Wake::Events(*events));
        }
        drop(shared);
        match self.socket.poll_readable(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Wake::Readable),
            Poll::Ready(Err(_)) => {
                self.close(Closing::Lost);
                Poll::Ready(Wake::Closing)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what waits as far as the socket takes it, and closes the connection
    /// when it has taken nothing for too long. The timer exists only meanwhile.
    fn poll_flush(&self, cx: &mut Context<'_>, stall: &mut Option<Pin<Box<Sleep>>>) {
        loop {
            let before = self.queued_bytes();
            if before == 0 && !self.socket.holds_back() {
                *stall = None;
                return;
            }
            match self.socket.poll_writable(cx) {
                Poll::Ready(Ok(())) => match self.flush() {
                    Ok(true) => {
                        *stall = None;
                        return;
                    }
                    Ok(false) if self.queued_bytes() < before => *stall = None,
                    Ok(false) => {}
                    Err(_) => return self.close(Closing::Lost),
                },
                Poll::Ready(Err(_)) => return self.close(Closing::Lost),
                Poll::Pending => break,
            }
        }
        let stall =
            stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.rules.write_timeout)));
        if stall.as_mut().poll(cx).is_ready() {
            self.close(Closing::Disconnect(wire::Disconnect::WRITE_ERROR));
        }
    }
}

/// Lets the session work. What it sends between two waits is written together; and
/// the outbox is written also while the session waits for something else.
async fn supervise(connection: &Connection, mut work: Pin<&mut impl Future<Output = ()>>) {
    let mut stall = None;
    let mut first = true;
    poll_fn(|cx| {
        connection.cork();
        let done = work.as_mut().poll(cx);
        connection.uncork();
        if done.is_pending() {
            if std::mem::take(&mut first) {
                connection.set_busy(true);
            }
            connection.task.register(cx.waker());
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
    async fn finish(mut self: Box<Self>) {
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
        poll_fn(|cx| connection.socket.poll_writable(cx)).await?;
    }
    Ok(())
}

/// Reads until the client closes; what it still sends is not looked at.
async fn closed_by_client(connection: &Connection, reader: &mut Reader) -> io::Result<()> {
    loop {
        poll_fn(|cx| connection.socket.poll_readable(cx)).await?;
        let ended = BUFFER.with_borrow_mut(|buffer| match connection.socket.try_read(buffer) {
            Ok(0) => true,
            Ok(n) => {
                let mut closed = false;
                let parsed = reader.read(&buffer[..n], SCRATCH, |incoming| {
                    closed |= matches!(incoming, Incoming::Close(_));
                });
                closed || parsed.is_err()
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        });
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every idle connection holds one of each. A session's future once slipped into
    /// a task's and made it nine times as large.
    #[test]
    fn what_an_idle_connection_holds_is_small() {
        fn size_of_future<F: Future>(_: impl FnOnce(Box<Task>) -> F) -> usize {
            size_of::<F>()
        }
        let sizes = [
            size_of_future(Task::run),
            size_of::<Task>(),
            size_of::<Connection>(),
        ];
        let limits = [88, 192, 192];
        assert!(
            sizes.iter().zip(limits).all(|(&size, limit)| size <= limit),
            "{sizes:?} bytes"
        );
    }
}

//! The task that owns a connection: it reads the client's frames, hands messages
//! and events to the session one after the other, writes what waits in the
//! outbox, and closes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, timeout};

use super::{Closing, Connection, Overflow};
use crate::session::{Event, Session};
use crate::websocket::frame::{self, Incoming, Reader};

/// Received at once; shared by all connections of a thread.
const SCRATCH: usize = 64 * 1024;
/// Reads in a row before others get their turn.
const READS_IN_A_ROW: usize = 8;
/// How long a close frame may take to be sent.
const CLOSE_SEND: Duration = Duration::from_secs(1);
/// How long the client may take to answer a close frame.
const CLOSE_ANSWER: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// What a task obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Largest message that a client may send, in bytes.
    pub(crate) message_size: usize,
    /// How long a blocked write may make no progress.
    pub(crate) write_timeout: Duration,
}

/// What the task wakes up for.
enum Wake {
    Readable,
    Events(Vec<Event>),
    Closing(Closing),
}

/// Runs a connection to its end, and returns why it ended. `early`: bytes that
/// arrived together with the handshake.
pub(crate) async fn run(
    connection: Arc<Connection>,
    mut session: Box<Session>,
    limits: Limits,
    early: Bytes,
) -> Closing {
    let mut reader = Reader::default();
    let mut stall = None;
    if !early.is_empty() {
        let received = take(&connection, &mut reader, &early, limits);
        messages(&connection, &mut session, received, limits).await;
    }
    drop(early);
    let closing = loop {
        match poll_fn(|cx| connection.poll_wake(cx, &mut stall, limits)).await {
            Wake::Readable => {
                let received = receive(&connection, &mut reader, limits);
                if !received.is_empty() {
                    messages(&connection, &mut session, received, limits).await;
                }
            }
            Wake::Events(events) => {
                for event in events {
                    work(&connection, Box::pin(session.on_event(event)), limits).await;
                }
            }
            Wake::Closing(closing) => break closing,
        }
    };
    drop(stall);
    Box::pin(finish(
        &connection,
        &mut session,
        &mut reader,
        &closing,
        limits,
    ))
    .await;
    closing
}

impl Connection {
    fn poll_wake(
        &self,
        cx: &mut Context<'_>,
        stall: &mut Option<Pin<Box<Sleep>>>,
        limits: Limits,
    ) -> Poll<Wake> {
        self.task.register(cx.waker());
        self.poll_flush(cx, stall, limits);
        let mut shared = self.shared.lock();
        if let Some(closing) = &shared.closing {
            return Poll::Ready(Wake::Closing(closing.clone()));
        }
        if !shared.mailbox.is_empty() {
            return Poll::Ready(Wake::Events(std::mem::take(&mut shared.mailbox)));
        }
        drop(shared);
        match self.socket.poll_readable(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Wake::Readable),
            Poll::Ready(Err(_)) => Poll::Ready(Wake::Closing(Closing::Lost)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what waits as far as the socket takes it, and closes the connection
    /// when it has taken nothing for too long. The timer exists only meanwhile.
    fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        stall: &mut Option<Pin<Box<Sleep>>>,
        limits: Limits,
    ) {
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
        let stall = stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits.write_timeout)));
        if stall.as_mut().poll(cx).is_ready() {
            self.close(Closing::Disconnect(wire::Disconnect::WRITE_ERROR));
        }
    }
}

/// Reads what the socket has, and returns the messages in it.
fn receive(connection: &Connection, reader: &mut Reader, limits: Limits) -> Vec<Bytes> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut messages = Vec::new();
        for _ in 0..READS_IN_A_ROW {
            match connection.socket.try_read(buffer) {
                Ok(0) => {
                    connection.close(Closing::Lost);
                    break;
                }
                Ok(n) => {
                    let mut more = take(connection, reader, &buffer[..n], limits);
                    if messages.is_empty() {
                        messages = more;
                    } else {
                        messages.append(&mut more);
                    }
                    if n < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    connection.close(Closing::Lost);
                    break;
                }
            }
        }
        messages
    })
}

/// Parses received bytes; control frames are dealt with here.
fn take(
    connection: &Connection,
    reader: &mut Reader,
    received: &[u8],
    limits: Limits,
) -> Vec<Bytes> {
    let mut messages = Vec::new();
    let mut closed = None;
    let parsed = reader.read(received, limits.message_size, |incoming| match incoming {
        // Nothing counts after a close frame.
        _ if closed.is_some() => {}
        Incoming::Message(message) => messages.push(message),
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

async fn messages(
    connection: &Connection,
    session: &mut Session,
    messages: Vec<Bytes>,
    limits: Limits,
) {
    for message in messages {
        work(connection, Box::pin(session.on_message(message)), limits).await;
        // What a client sent before it closed still counts.
        if connection.is_refused() {
            return;
        }
    }
}

/// Lets the session work. Its future lives on the heap and only meanwhile; what
/// it sends between two waits is written together; and the outbox is written
/// also while the session waits for something else.
async fn work(
    connection: &Connection,
    mut work: Pin<Box<impl Future<Output = ()>>>,
    limits: Limits,
) {
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
            connection.poll_flush(cx, &mut stall, limits);
        }
        done
    })
    .await;
    if !first {
        connection.set_busy(false);
    }
}

/// Says goodbye: the session lets go of all that it holds, and the close frame is
/// sent and answered, each within its time.
async fn finish(
    connection: &Connection,
    session: &mut Session,
    reader: &mut Reader,
    closing: &Closing,
    limits: Limits,
) {
    let close_frame = match closing {
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
        if matches!(closing, Closing::Disconnect(disconnect) if disconnect.code == wire::Disconnect::SLOW.code)
        {
            shared.outbox.discard();
        }
        shared.outbox.push_last(close_frame);
        drop(shared);
        // At once if the socket takes it: letting go may wait for the broker.
        let _written_or_later = connection.flush();
    }
    session.end().await;
    let _sent_or_late = timeout(CLOSE_SEND.max(limits.write_timeout), flush_all(connection)).await;
    match closing {
        // The one who was asked to close waits for the other to hang up (RFC 6455, 7.1.1).
        Closing::Disconnect(_) | Closing::ConnectFailed => {
            let _answered_or_late =
                timeout(CLOSE_ANSWER, closed_by_client(connection, reader)).await;
        }
        Closing::Violation(_) | Closing::ClientClosed(_) | Closing::Lost => {}
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

    /// Every idle connection holds one of these. A session's future once slipped
    /// into it, by being passed on before it was boxed, and made it nine times as
    /// large.
    #[test]
    fn an_idle_task_is_small() {
        fn size_of_future<F: Future>(
            _: impl FnOnce(Arc<Connection>, Box<Session>, Limits, Bytes) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let size = size_of_future(run);
        assert!(size <= 640, "{size} bytes");
    }
}

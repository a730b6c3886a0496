//! Runs a reactor's connections: it waits for all of their sockets at once, and lets
//! those work that have something to do.
//!
//! A connection that rests is a [`Task`] that lies in its seat here. The answer to a ping
//! is [dealt with](Connection::look) where it is noticed, and the task goes on resting.
//! For anything more the task works: its future is polled on the spot, and lies in the
//! seat while it waits (for the broker, for a service, for a client that reads slowly).
//! tokio knows nothing of connections: what it keeps for each task and each socket was a
//! third of a connection's memory, and much of what a heartbeat touched.
//!
//! Everything but [`Seat::call`] happens on the reactor's thread.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};
use parking_lot::Mutex;
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::task::{coop, yield_now};

use crate::connection::task::{Task, with_buffer};
use crate::connection::{Connection, Look};
use crate::due::{Due, IN_A_ROW};
use crate::wheel::Wheel;

/// A descriptor whose readability tokio tells.
///
/// # Errors
/// The operating system's.
#[expect(
    deprecated,
    reason = "its successor is unsafe, as a type may lie about its descriptor; ours are mio's, which own theirs"
)]
pub(crate) fn watched<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, tokio::io::Interest::READABLE)
}

/// See the module.
pub(crate) struct Poller {
    /// Taken by [`Poller::watch`].
    events: Mutex<Option<AsyncFd<mio::Poll>>>,
    registry: Registry,
    seats: Mutex<Slab<Occupant>>,
    /// Who has something to do that no socket tells. Bounded by the number of connections:
    /// each is in it at most once.
    called: Due<usize>,
}

/// Who has a seat.
struct Occupant {
    connection: Arc<Connection>,
    state: State,
}

enum State {
    /// `None`: it is being polled.
    Rests(Option<Box<Task>>),
    Works(Work),
}

/// What a task does until it rests again; `None`: the connection has ended.
type Work = Pin<Box<dyn Future<Output = Option<Box<Task>>> + Send>>;

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

/// A connection's place in its reactor's poller.
#[derive(Debug)]
pub(crate) struct Seat {
    poller: Arc<Poller>,
    number: usize,
}

impl Seat {
    /// Has the connection's task polled. From any thread.
    pub(crate) fn call(&self) {
        self.poller.called.add(self.number);
    }

    /// Leaves it to others. Its socket is no longer waited for once it is closed.
    pub(crate) fn leave(&self) {
        let mut seats = self.poller.seats.lock();
        let left = seats.try_remove(self.number);
        if seats.is_empty() {
            seats.shrink_to_fit();
        }
        drop(seats);
        drop(left);
    }
}

impl Poller {
    /// Of the thread whose tokio runtime is entered.
    ///
    /// # Errors
    /// The operating system's, if it has no event queue for us.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let events = watched(poll)?;
        Ok(Arc::new(Self {
            events: Mutex::new(Some(events)),
            registry,
            seats: Mutex::default(),
            called: Due::default(),
        }))
    }

    /// Gives a seat to the connection that `make` makes. It is not polled before its task
    /// was told to [go on](Self::go_on).
    ///
    /// # Errors
    /// The operating system's, if it cannot wait for the socket.
    pub(crate) fn seat(
        self: &Arc<Self>,
        make: impl FnOnce(Seat) -> Connection,
    ) -> io::Result<Arc<Connection>> {
        let mut seats = self.seats.lock();
        let vacant = seats.vacant_entry();
        let number = vacant.key();
        let connection = Arc::new(make(Seat {
            poller: Arc::clone(self),
            number,
        }));
        self.registry.register(
            &mut SourceFd(&connection.socket().as_raw_fd()),
            Token(number),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        vacant.insert(Occupant {
            connection: Arc::clone(&connection),
            state: State::Rests(None),
        });
        Ok(connection)
    }

    /// Polls the tasks that are called, for ever.
    pub(crate) async fn answer_calls(&self) {
        let come = |connection: &Connection| {
            connection.on_call();
            true
        };
        let answer = |number| self.poll(number, come);
        self.called.run(answer, || {}).await;
    }

    /// Looks at the sockets that have something, and polls the tasks that have to work for
    /// it, for ever.
    ///
    /// # Errors
    /// The operating system's, or it was called before.
    pub(crate) async fn watch(&self, wheel: &Wheel) -> io::Result<Infallible> {
        let events = self.events.lock().take();
        let mut poll = events.ok_or(io::ErrorKind::AlreadyExists)?;
        let mut events = Events::with_capacity(IN_A_ROW);
        loop {
            let mut ready = poll.readable_mut().await?;
            match ready
                .get_inner_mut()
                .poll(&mut events, Some(Duration::ZERO))
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let more = events.iter().count() == IN_A_ROW;
            if !more {
                ready.clear_ready();
            }
            for event in &events {
                let failed = event.is_error();
                let readable = failed || event.is_readable() || event.is_read_closed();
                let writable = failed || event.is_writable() || event.is_write_closed();
                self.on_ready(event.token().0, readable, writable, wheel);
            }
            if more {
                yield_now().await;
            }
        }
    }

    /// A socket has something. Where a look at it is all that it takes, the task stays where
    /// it is.
    fn on_ready(&self, number: usize, readable: bool, writable: bool, wheel: &Wheel) {
        let mut seats = self.seats.lock();
        let Some(occupant) = seats.get_mut(number) else {
            return;
        };
        if !matches!(occupant.state, State::Rests(Some(_))) {
            drop(seats);
            return self.poll(number, |connection| connection.on_ready(readable, writable));
        }
        let connection = &occupant.connection;
        let look = AssertUnwindSafe(|| {
            with_buffer(|buffer| connection.look(readable, writable, buffer, wheel))
        });
        let looked = catch_unwind(look);
        if let Ok(Look::Rests) = looked {
            return;
        }
        let state = mem::replace(&mut occupant.state, State::Rests(None));
        drop(seats);
        // After a panic the task is dropped, which ends this connection, and no other.
        if let (Ok(look), State::Rests(Some(task))) = (looked, state) {
            self.go_on(task, |task| match look {
                Look::Received(bytes) => task.take_from_buffer(bytes),
                Look::Rests | Look::Works => Vec::new(),
            });
        }
    }

    /// Polls a connection's task, if `told` finds that it has to work.
    fn poll(&self, number: usize, told: impl FnOnce(&Connection) -> bool) {
        let mut seats = self.seats.lock();
        // Who has left may have been called before; and a socket that was closed may make
        // whoever has the seat now look for nothing.
        let Some(occupant) = seats.get_mut(number) else {
            return;
        };
        if !told(&occupant.connection) {
            return;
        }
        match mem::replace(&mut occupant.state, State::Rests(None)) {
            State::Rests(None) => {}
            State::Rests(Some(task)) => {
                drop(seats);
                self.go_on(task, |_| Vec::new());
            }
            State::Works(work) => {
                let connection = Arc::clone(&occupant.connection);
                drop(seats);
                self.turn(number, || poll_work(connection, work));
            }
        }
    }

    /// Lets a task go on that does not rest, first at the messages that `first` finds.
    pub(crate) fn go_on(&self, mut task: Box<Task>, first: impl FnOnce(&mut Task) -> Vec<Bytes>) {
        let number = task.connection().seat().number;
        self.turn(number, || {
            let messages = first(&mut task);
            let messages = if messages.is_empty() {
                task.look()
            } else {
                Some(messages)
            };
            let Some(messages) = messages else {
                return Some(State::Rests(Some(task)));
            };
            let connection = Arc::clone(task.connection());
            poll_work(connection, Box::pin(task.work(messages)))
        });
    }

    /// Does something with what was taken out of a seat, and puts back what comes of it.
    /// A panic, which is logged as any, ends this connection, and no other.
    fn turn(&self, number: usize, turn: impl FnOnce() -> Option<State>) {
        if let Ok(Some(state)) = catch_unwind(AssertUnwindSafe(turn)) {
            self.put(number, state);
        }
    }

    fn put(&self, number: usize, state: State) {
        let mut seats = self.seats.lock();
        let nowhere = match seats.get_mut(number) {
            Some(occupant) => mem::replace(&mut occupant.state, state),
            None => state,
        };
        drop(seats);
        drop(nowhere);
    }

    /// Ends all connections, when the thread has ended.
    pub(crate) fn clear(&self) {
        let seats = mem::take(&mut *self.seats.lock());
        drop(seats);
    }
}

/// `None`: the task has left its seat.
fn poll_work(connection: Arc<Connection>, mut work: Work) -> Option<State> {
    let waker = Waker::from(connection);
    let polled = pin!(coop::unconstrained(work.as_mut())).poll(&mut Context::from_waker(&waker));
    match polled {
        Poll::Ready(task) => task.map(|task| State::Rests(Some(task))),
        Poll::Pending => Some(State::Works(work)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::poll_fn;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;
    use wire::Format;

    use super::*;
    use crate::config::Config;
    use crate::connection::{Overflow, Rules};
    use crate::socket::Socket;

    /// Seats a connection of the default configuration; and the other end of its socket.
    pub(crate) async fn connect(poller: &Arc<Poller>) -> (Arc<Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        let socket = Socket::Plain(accepted.unwrap().0.into_std().unwrap());
        let rules = Arc::new(Rules::new(&Config::default()));
        let make = |seat| Connection::new(socket, Format::Json, false, rules, 1, seat);
        (poller.seat(make).unwrap(), client.unwrap())
    }

    /// Gives a seat to a connection that does this.
    async fn seat(poller: &Arc<Poller>, work: Work) -> Arc<Connection> {
        let (connection, _client) = connect(poller).await;
        poller.put(connection.seat().number, State::Works(work));
        connection
    }

    /// Polls until `done`.
    async fn run_until<T>(poller: &Poller, done: oneshot::Receiver<T>) -> T {
        tokio::select! {
            biased;
            done = done => done.unwrap(),
            () = poller.answer_calls() => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_panic_ends_no_other_connection() {
        let poller = Poller::new().unwrap();
        let panics = seat(&poller, Box::pin(async { panic!("as the test wants") })).await;
        let (say, said) = oneshot::channel();
        let works = seat(
            &poller,
            Box::pin(async move {
                say.send("it works").unwrap();
                None
            }),
        );
        let works = works.await;
        panics.seat().call();
        works.seat().call();
        assert_eq!(run_until(&poller, said).await, "it works");
    }

    /// Who was uncorked by somebody else than its task may rest.
    #[tokio::test]
    async fn what_a_socket_does_not_take_when_uncorked_is_for_the_task() {
        let poller = Poller::new().unwrap();
        let (connection, _client) = connect(&poller).await;
        let frame = Bytes::from(vec![0; 64 * 1024]);
        while connection.queued_bytes() == 0 {
            connection.send(&frame, Overflow::Disconnect);
        }
        let number = connection.seat().number;
        let polled = || {
            let (say, said) = oneshot::channel();
            let work = async move {
                say.send(()).unwrap();
                std::future::pending().await
            };
            poller.put(number, State::Works(Box::pin(work)));
            said
        };
        run_until(&poller, polled()).await;

        connection.cork();
        connection.send(&frame, Overflow::Disconnect);
        connection.uncork();
        run_until(&poller, polled()).await;
    }

    /// Woken while it is polled, by another thread, a task is polled once more.
    #[tokio::test]
    async fn who_is_called_while_at_work_works_again() {
        let poller = Poller::new().unwrap();
        let (say, said) = oneshot::channel();
        let mut say = Some(say);
        let mut polls = 0;
        let work = poll_fn(move |cx| {
            polls += 1;
            if polls < 3 {
                let waker = cx.waker().clone();
                std::thread::spawn(move || waker.wake()).join().unwrap();
                return Poll::Pending;
            }
            say.take().unwrap().send(polls).unwrap();
            Poll::Ready(None)
        });
        let connection = seat(&poller, Box::pin(work)).await;
        Waker::from(connection).wake();
        assert_eq!(run_until(&poller, said).await, 3);
    }
}

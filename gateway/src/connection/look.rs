//! A look at the socket of a connection that rests.
//!
//! Nearly all that most connections ever say is the answer to a ping. It is dealt with
//! here: what lies in the task is not touched for it, and nothing is allocated.

use super::{Closing, Connection};
use crate::socket::Read;
use crate::websocket::frame;
use crate::wheel::Wheel;

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is nothing to do for the task.
    Rests,
    /// So many bytes were received, which are for the task.
    Received(usize),
    /// There is something else to do for the task.
    Works,
}

impl Connection {
    /// The event loop tells of the socket, while the task rests. Reads it, if that is all
    /// there is to do. Costs one system call.
    pub(crate) fn look(
        &self,
        readable: bool,
        writable: bool,
        buffer: &mut [u8],
        wheel: &Wheel,
    ) -> Look {
        let shared = &mut *self.shared.lock();
        if !shared.readiness.on_ready(readable, writable) {
            return Look::Rests;
        }
        if !self.takes_readable(shared) {
            return Look::Works;
        }
        let Ok(Read::Some { bytes, more }) = self.socket.try_read(buffer) else {
            self.start_closing(shared, Closing::Lost);
            return Look::Works;
        };
        if more {
            shared.readiness.readable();
        }
        let pong = wire::empty_command(self.format);
        let is_pong = shared.between_messages && frame::is_message(&buffer[..bytes], pong);
        let is_done = bytes == 0 || (is_pong && self.answered(shared, wheel));
        if !is_done {
            return Look::Received(bytes);
        }
        match shared.readiness.rest() {
            true => Look::Rests,
            false => Look::Works,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use testkit::eventually;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::clock::Clock;
    use crate::poller::Poller;
    use crate::poller::tests::connect;
    use crate::socket::Socket;

    const SOON: Duration = Duration::from_secs(10);

    /// `{}` with this mask.
    const PONG: [u8; 8] = [0x81, 0x82, 1, 2, 3, 4, b'{' ^ 1, b'}' ^ 2];

    struct Resting {
        connection: Arc<Connection>,
        client: TcpStream,
        wheel: Wheel,
        _poller: Arc<Poller>,
    }

    impl Resting {
        /// A connection that was pinged, if `pinged`.
        async fn new(pinged: bool) -> Self {
            let poller = Poller::new().unwrap();
            let (connection, client) = connect(&poller).await;
            connection.connected(&Arc::from("user"), 1);
            if pinged {
                assert!(connection.tick(1).is_some());
            }
            assert!(connection.rest(true));
            Self {
                connection,
                client,
                wheel: Wheel::new(Clock::start(), 0, 1),
                _poller: poller,
            }
        }

        fn arrived(&self) -> usize {
            match self.connection.socket() {
                Socket::Plain(tcp) => tcp.peek(&mut [0; 64]).unwrap_or(0),
                Socket::Tls(_) => 0,
            }
        }

        /// What comes of a look when these bytes have arrived.
        async fn look(&mut self, bytes: &[u8]) -> Look {
            self.client.write_all(bytes).await.unwrap();
            eventually(SOON, async || self.arrived() == bytes.len()).await;
            let mut buffer = [0; 64];
            let look = self.connection.look(true, false, &mut buffer, &self.wheel);
            if look == Look::Received(bytes.len()) {
                assert_eq!(buffer[..bytes.len()], *bytes);
                // As the task does that has dealt with them.
                assert!(self.connection.rest(true));
            }
            look
        }
    }

    #[tokio::test]
    async fn the_answer_to_a_ping_is_dealt_with() {
        let mut resting = Resting::new(true).await;
        assert_eq!(resting.look(&PONG).await, Look::Rests);
        // The next one answers nothing.
        assert_eq!(resting.look(&PONG).await, Look::Received(8));
    }

    #[tokio::test]
    async fn whatever_else_comes_is_for_the_task() {
        let mut resting = Resting::new(true).await;
        let two = [PONG, PONG].concat();
        assert_eq!(resting.look(&two).await, Look::Received(16));
        assert_eq!(resting.look(&PONG[..7]).await, Look::Received(7));
        // The end of something that began before.
        assert!(resting.connection.rest(false));
        assert_eq!(resting.look(&PONG).await, Look::Received(8));
    }

    #[tokio::test]
    async fn a_look_that_finds_nothing_changes_nothing() {
        let mut resting = Resting::new(true).await;
        let mut buffer = [0; 64];
        for readable in [false, true] {
            let look = resting
                .connection
                .look(readable, true, &mut buffer, &resting.wheel);
            assert_eq!(look, Look::Rests);
        }
        assert_eq!(resting.look(&PONG).await, Look::Rests);
    }

    #[tokio::test]
    async fn who_has_something_to_do_works() {
        let mut resting = Resting::new(true).await;
        resting.connection.close(Closing::Lost);
        assert_eq!(resting.look(&PONG).await, Look::Works);
        let resting = Resting::new(true).await;
        drop(resting.client);
        let gone = async || {
            let (connection, wheel) = (&resting.connection, &resting.wheel);
            connection.look(true, true, &mut [0; 64], wheel) == Look::Works
        };
        eventually(SOON, gone).await;
        assert_eq!(resting.connection.closing(), Some(Closing::Lost));
    }
}

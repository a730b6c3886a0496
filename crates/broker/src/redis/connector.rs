//! Makes connections, and asks whether they are still good.

use std::time::Duration;

use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, Value, cmd, pipe};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::config::RedisConfig;
use super::connection::{Connection, Push};
use super::failure;
use crate::Result;

/// How often an otherwise silent connection is asked for a sign of life.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(3);

/// Within this time the sign of life must come: with the interval, a half-open
/// connection is noticed within seven seconds.
const PING_DEADLINE: Duration = Duration::from_secs(4);

/// After so much silence the system asks whether the other side is there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long what was sent may go unconfirmed by the other side's system.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Knows the way to Redis. The name is resolved anew for every connection, so a
/// failover by DNS is followed.
#[derive(Debug)]
pub(super) struct Connector {
    info: ConnectionInfo,
    connect_timeout: Duration,
    io_timeout: Duration,
    ping_deadline: Duration,
}

impl Connector {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        Ok(Self {
            info: config.connection_info()?,
            connect_timeout: config.connect_timeout,
            io_timeout: config.io_timeout,
            ping_deadline: PING_DEADLINE.min(config.io_timeout),
        })
    }

    /// Connects to a Redis that takes writes. `on_push` gets what the server sends
    /// unasked.
    pub(super) async fn connect(
        &self,
        on_push: impl Fn(Push<'_>) + Send + 'static,
    ) -> std::result::Result<Connection, RedisError> {
        let connect = async {
            let mut connection = match self.info.addr() {
                ConnectionAddr::Tcp(host, port) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    let keepalive = TcpKeepalive::new()
                        .with_time(KEEPALIVE)
                        .with_interval(KEEPALIVE_INTERVAL);
                    let socket = SockRef::from(&stream);
                    socket.set_tcp_keepalive(&keepalive)?;
                    #[cfg(target_os = "linux")]
                    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
                    self.over(stream, on_push)
                }
                ConnectionAddr::Unix(path) => self.over(UnixStream::connect(path).await?, on_push),
                _ => {
                    let text = "this kind of address is not supported";
                    return Err((ErrorKind::InvalidClientConfig, text).into());
                }
            };
            self.introduce(&mut connection).await?;
            // While it reads its data or has lost its master, it says so here.
            cmd("PING").exec_async(&mut connection).await?;
            check_role(&mut connection).await?;
            Ok(connection)
        };
        within(self.connect_timeout, connect).await
    }

    fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        on_push: impl Fn(Push<'_>) + Send + 'static,
    ) -> Connection {
        let (connection, driver) = Connection::new(stream, self.io_timeout, on_push);
        // It ends with the connection.
        tokio::spawn(driver);
        connection
    }

    /// Says who we are and how we speak: RESP3 lets commands and publications share a
    /// connection.
    async fn introduce(&self, connection: &mut Connection) -> std::result::Result<(), RedisError> {
        let settings = self.info.redis_settings();
        let mut hello = cmd("HELLO");
        hello.arg(3);
        if let Some(password) = settings.password() {
            let user = settings.username().unwrap_or("default");
            hello.arg("AUTH").arg(user).arg(password);
        }
        hello.exec_async(connection).await?;
        if settings.db() != 0 {
            let mut select = cmd("SELECT");
            select.arg(settings.db()).exec_async(connection).await?;
        }
        // For whoever looks at the list of clients. Redis before 7.2 does not know it.
        let mut names = pipe();
        for (name, value) in [
            ("LIB-NAME", "fanfare"),
            ("LIB-VER", env!("CARGO_PKG_VERSION")),
        ] {
            names.cmd("CLIENT").arg("SETINFO").arg(name).arg(value);
        }
        match names.exec_async(connection).await {
            Err(error) if failure::breaks_link(&error) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Asks for a sign of life, and whether it still takes writes.
    pub(super) async fn ping(
        &self,
        connection: &mut Connection,
    ) -> std::result::Result<(), RedisError> {
        within(self.ping_deadline, check_role(connection)).await
    }

    /// Within this time [`ping`](Self::ping) ends.
    pub(super) fn ping_deadline(&self) -> Duration {
        self.ping_deadline
    }
}

/// Runs a query within a time.
pub(super) async fn within<T>(
    duration: Duration,
    query: impl Future<Output = std::result::Result<T, RedisError>>,
) -> std::result::Result<T, RedisError> {
    by(Instant::now() + duration, query).await
}

/// Runs a query until a deadline.
pub(super) async fn by<T>(
    deadline: Instant,
    query: impl Future<Output = std::result::Result<T, RedisError>>,
) -> std::result::Result<T, RedisError> {
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    timeout_at(deadline, query).await.map_err(late)?
}

/// A replica would take subscriptions, and stay silent when its link to the master
/// breaks; after a failover the old address may lead to one.
async fn check_role(connection: &mut Connection) -> std::result::Result<(), RedisError> {
    let role: std::result::Result<Vec<Value>, _> =
        Cmd::new().arg("ROLE").query_async(connection).await;
    match role {
        Ok(role) => match role.first() {
            Some(Value::BulkString(role)) if role == b"slave" => Err((
                ErrorKind::Server(redis::ServerErrorKind::ReadOnly),
                "it is a replica",
            )
                .into()),
            _ => Ok(()),
        },
        // An operator may have forbidden it; the answer is a sign of life.
        Err(error) if failure::is_forbidden(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

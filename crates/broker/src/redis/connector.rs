//! Makes connections, and asks whether they are still good.

use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, PushInfo, RedisError, Value, cmd};
use tokio::time::timeout;

use super::config::RedisConfig;
use super::failure;
use crate::Result;
use crate::error::Error;

/// How often an otherwise silent connection is asked for a sign of life.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(3);

/// Within this time the sign of life must come: with the interval, a half-open
/// connection is noticed within seven seconds.
const PING_DEADLINE: Duration = Duration::from_secs(4);

/// How many commands may wait for being written to a connection; more wait in their
/// callers, each with its deadline.
const PIPELINE: usize = 1024;

/// Knows the way to Redis. The name is resolved anew for every connection, so a
/// failover by DNS is followed.
#[derive(Debug)]
pub(super) struct Connector {
    client: Client,
    connect_timeout: Duration,
    ping_deadline: Duration,
}

impl Connector {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(15))
            .with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(Duration::from_secs(10));
        let info = config.connection_info()?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self {
            client,
            connect_timeout: config.connect_timeout,
            ping_deadline: PING_DEADLINE.min(config.io_timeout),
        })
    }

    /// Connects to a Redis that takes writes. `push` gets what the server sends
    /// unasked, and the news of the disconnection.
    pub(super) async fn connect(
        &self,
        push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> std::result::Result<MultiplexedConnection, RedisError> {
        // Every call has its own deadline, which includes more than the response.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE)
            .set_push_sender(Push(push));
        let connect = async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            // While it reads its data or has lost its master, it says so here.
            cmd("PING").exec_async(&mut connection).await?;
            check_role(&mut connection).await?;
            Ok(connection)
        };
        within(self.connect_timeout, connect).await
    }

    /// Asks for a sign of life, and whether it still takes writes.
    pub(super) async fn ping(
        &self,
        connection: &mut MultiplexedConnection,
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
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    timeout(duration, query).await.map_err(late)?
}

/// A replica would take subscriptions, and stay silent when its link to the master
/// breaks; after a failover the old address may lead to one.
async fn check_role(connection: &mut MultiplexedConnection) -> std::result::Result<(), RedisError> {
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

struct Push<F>(F);

impl<F: Fn(PushInfo) + Send + Sync + 'static> AsyncPushSender for Push<F> {
    fn send(&self, info: PushInfo) -> std::result::Result<(), redis::aio::SendError> {
        (self.0)(info);
        Ok(())
    }
}

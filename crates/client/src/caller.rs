//! Commands as calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use wire::{
    Command, ConnectRequest, ConnectResult, HistoryRequest, HistoryResult, PresenceRequest,
    PresenceResult, PresenceStatsRequest, PresenceStatsResult, PublishRequest, RefreshRequest,
    RefreshResult, ReplyBody, Request, RpcRequest, RpcResult, SendRequest, SubRefreshRequest,
    SubRefreshResult, SubscribeRequest, SubscribeResult, UnsubscribeRequest,
};

use crate::error::{Closed, Error};
use crate::task::{Call, Order};

/// Sends commands over one connection and waits for their replies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    orders: mpsc::Sender<Order>,
    end: watch::Receiver<Option<Error>>,
    deadline: Duration,
    last_id: Arc<AtomicU32>,
}

/// Why the connection ended, as far as is known.
pub(crate) fn why(end: &watch::Receiver<Option<Error>>) -> Error {
    end.borrow()
        .clone()
        .unwrap_or_else(|| Error::Closed(Closed::abnormal()))
}

impl Caller {
    pub(crate) fn new(
        orders: mpsc::Sender<Order>,
        end: watch::Receiver<Option<Error>>,
        deadline: Duration,
    ) -> Self {
        Self {
            orders,
            end,
            deadline,
            last_id: Arc::new(AtomicU32::new(0)),
        }
    }

    /// Authenticates the connection.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn connect(&self, request: ConnectRequest) -> Result<ConnectResult, Error> {
        match self.call(Request::Connect(request)).await? {
            ReplyBody::Connect(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Subscribes to a channel, asking for nothing special.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn subscribe(&self, channel: &str) -> Result<SubscribeResult, Error> {
        self.subscribe_with(SubscribeRequest {
            channel: channel.to_owned(),
            ..SubscribeRequest::default()
        })
        .await
    }

    /// Subscribes to a channel, with a token, recovery or other wishes.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn subscribe_with(
        &self,
        request: SubscribeRequest,
    ) -> Result<SubscribeResult, Error> {
        match self.call(Request::Subscribe(request)).await? {
            ReplyBody::Subscribe(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        let channel = channel.to_owned();
        let request = UnsubscribeRequest { channel };
        match self.call(Request::Unsubscribe(request)).await? {
            ReplyBody::Unsubscribe(_) => Ok(()),
            _ => Err(Error::WrongReply),
        }
    }

    /// Publishes to a channel.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn publish(&self, channel: &str, data: impl Into<Bytes>) -> Result<(), Error> {
        let request = PublishRequest {
            channel: channel.to_owned(),
            data: data.into(),
            ..PublishRequest::default()
        };
        match self.call(Request::Publish(request)).await? {
            ReplyBody::Publish(_) => Ok(()),
            _ => Err(Error::WrongReply),
        }
    }

    /// Asks who is in a channel.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn presence(&self, channel: &str) -> Result<PresenceResult, Error> {
        let channel = channel.to_owned();
        let request = PresenceRequest { channel };
        match self.call(Request::Presence(request)).await? {
            ReplyBody::Presence(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Asks how many are in a channel.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStatsResult, Error> {
        let channel = channel.to_owned();
        let request = PresenceStatsRequest { channel };
        match self.call(Request::PresenceStats(request)).await? {
            ReplyBody::PresenceStats(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Asks for what was published to a channel.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn history(&self, request: HistoryRequest) -> Result<HistoryResult, Error> {
        match self.call(Request::History(request)).await? {
            ReplyBody::History(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Calls the backend.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn rpc(&self, method: &str, data: impl Into<Bytes>) -> Result<RpcResult, Error> {
        let request = RpcRequest {
            method: method.to_owned(),
            data: data.into(),
        };
        match self.call(Request::Rpc(request)).await? {
            ReplyBody::Rpc(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Extends the connection with a new token.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn refresh(&self, token: &str) -> Result<RefreshResult, Error> {
        let token = token.to_owned();
        let request = RefreshRequest { token };
        match self.call(Request::Refresh(request)).await? {
            ReplyBody::Refresh(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Extends a subscription with a new token.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn sub_refresh(&self, channel: &str, token: &str) -> Result<SubRefreshResult, Error> {
        let request = SubRefreshRequest {
            channel: channel.to_owned(),
            token: token.to_owned(),
            ..SubRefreshRequest::default()
        };
        match self.call(Request::SubRefresh(request)).await? {
            ReplyBody::SubRefresh(result) => Ok(result),
            _ => Err(Error::WrongReply),
        }
    }

    /// Sends a message that is not answered.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone already.
    pub async fn send(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        let command = Command {
            id: 0,
            request: Some(Request::Send(SendRequest { data: data.into() })),
        };
        self.order(Order::Send(command)).await
    }

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// [`Error::Reply`] when the server refuses it; [`Error::Timeout`]; why the connection ended
    /// when it ends before; [`Error::Encode`].
    pub async fn call(&self, request: Request) -> Result<ReplyBody, Error> {
        let mut replies = self.batch([request]).await?;
        replies.pop().unwrap_or(Err(Error::WrongReply))
    }

    /// Sends several requests in one frame, as SDKs do with connect and its subscribes, and waits
    /// for all replies, each with the deadline of the options.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone already.
    pub async fn batch(
        &self,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<Vec<Result<ReplyBody, Error>>, Error> {
        let mut calls = Vec::new();
        let mut waiting = Vec::new();
        for request in requests {
            let (reply, receiver) = oneshot::channel();
            let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
            let command = Command {
                id,
                request: Some(request),
            };
            calls.push(Call { command, reply });
            waiting.push(receiver);
        }
        self.order(Order::Calls(calls)).await?;
        let mut replies = Vec::with_capacity(waiting.len());
        for receiver in waiting {
            replies.push(match timeout(self.deadline, receiver).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err(why(&self.end)),
                Err(_) => Err(Error::Timeout),
            });
        }
        Ok(replies)
    }

    /// Sends any bytes as one frame of the format's kind.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone already.
    pub async fn send_frame(&self, frame: impl Into<Bytes>) -> Result<(), Error> {
        self.order(Order::Frame(frame.into())).await
    }

    /// Closes the connection with code 1000 and waits until it is closed.
    ///
    /// # Errors
    /// As [`closed`](Self::closed).
    pub async fn close(&self) -> Result<Closed, Error> {
        // When the task is gone the connection is closed already, which is what is wanted.
        let _ = self.order(Order::Close).await;
        self.closed().await
    }

    /// Drops the TCP connection without a word, as a client does that loses its network.
    pub async fn abort(&self) {
        // When the task is gone the connection is closed already, which is what is wanted.
        let _ = self.order(Order::Abort).await;
    }

    /// Waits until the connection is closed, by either side, and tells how it was.
    ///
    /// # Errors
    /// [`Error::Timeout`]; another error when the connection did not end by closing.
    pub async fn closed(&self) -> Result<Closed, Error> {
        let mut end = self.end.clone();
        let ended = timeout(self.deadline, end.wait_for(Option::is_some));
        match ended.await {
            Ok(_) => match why(&self.end) {
                Error::Closed(closed) => Ok(closed),
                error => Err(error),
            },
            Err(_) => Err(Error::Timeout),
        }
    }

    async fn order(&self, order: Order) -> Result<(), Error> {
        match timeout(self.deadline, self.orders.send(order)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(why(&self.end)),
            Err(_) => Err(Error::Timeout),
        }
    }
}

//! The task that owns a client's socket.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use wire::{Command, Push, Reply, ReplyBody};

use crate::error::{Closed, Error};
use crate::options::Options;
use crate::socket::{Frame, Socket};

/// What the task is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send commands in one frame and hand over their replies.
    Calls(Vec<Call>),
    /// Send a command that is not answered.
    Send(Command),
    /// Send bytes as they are.
    Frame(Bytes),
    /// Close with code 1000.
    Close,
    /// Drop the connection.
    Abort,
}

/// A command whose reply somebody waits for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<ReplyBody, Error>>,
}

enum Event {
    Order(Order),
    Frame(Result<Frame, Error>),
    PushMoved,
}

/// Owns the socket; ends with it.
pub(crate) struct Task {
    socket: Socket,
    pong: bool,
    orders: mpsc::Receiver<Order>,
    pushes: mpsc::Sender<Push>,
    end: watch::Sender<Option<Error>>,
    /// Calls that are not answered yet, by id.
    waiting: HashMap<u32, oneshot::Sender<Result<ReplyBody, Error>>>,
    /// Pushes of the frame read last that found no room in the queue.
    backlog: VecDeque<Push>,
}

impl Task {
    pub(crate) fn new(
        socket: Socket,
        options: &Options,
        orders: mpsc::Receiver<Order>,
        pushes: mpsc::Sender<Push>,
        end: watch::Sender<Option<Error>>,
    ) -> Self {
        Self {
            socket,
            pong: options.pong,
            orders,
            pushes,
            end,
            waiting: HashMap::new(),
            backlog: VecDeque::new(),
        }
    }

    /// Runs until the connection ends, then tells everybody who waits.
    pub(crate) async fn run(mut self) {
        let error = loop {
            if let Err(error) = self.step().await {
                break error;
            }
        };
        self.end.send_replace(Some(error.clone()));
        for (_, reply) in self.waiting.drain() {
            // Whoever gave up waiting needs no answer.
            let _ = reply.send(Err(error.clone()));
        }
        // Pushes that came before the end are still delivered, while somebody takes them.
        for push in std::mem::take(&mut self.backlog) {
            if self.pushes.send(push).await.is_err() {
                break;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        match self.event().await {
            Event::Order(order) => self.obey(order).await,
            Event::Frame(frame) => self.receive(frame?).await,
            Event::PushMoved => Ok(()),
        }
    }

    /// Waits for the next thing that happens. While pushes wait for room nothing is read.
    async fn event(&mut self) -> Event {
        tokio::select! {
            order = self.orders.recv() => Event::Order(order.unwrap_or(Order::Close)),
            room = self.pushes.reserve(), if !self.backlog.is_empty() => {
                match (room, self.backlog.pop_front()) {
                    (Ok(room), Some(push)) => room.send(push),
                    // Nobody listens to pushes.
                    _ => self.backlog.clear(),
                }
                Event::PushMoved
            }
            frame = self.socket.read(), if self.backlog.is_empty() => Event::Frame(frame),
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Error> {
        match order {
            Order::Calls(calls) => {
                let mut commands = Vec::with_capacity(calls.len());
                let mut replies = Vec::with_capacity(calls.len());
                for Call { command, reply } in calls {
                    replies.push((command.id, reply));
                    commands.push(command);
                }
                match self.socket.send_commands(&commands).await {
                    Ok(()) => {
                        self.waiting.extend(replies);
                        Ok(())
                    }
                    Err(error @ Error::Encode(_)) => {
                        for (_, reply) in replies {
                            let _ = reply.send(Err(error.clone()));
                        }
                        Ok(())
                    }
                    Err(error) => self.write_failed(error).await,
                }
            }
            Order::Send(command) => match self.socket.send_commands(&[command]).await {
                Ok(()) | Err(Error::Encode(_)) => Ok(()),
                Err(error) => self.write_failed(error).await,
            },
            Order::Frame(frame) => match self.socket.send_frame(frame).await {
                Ok(()) => Ok(()),
                Err(error) => self.write_failed(error).await,
            },
            Order::Close => {
                self.socket.close(1000).await?;
                Err(Error::Closed(self.socket.closed().await?))
            }
            Order::Abort => Err(Error::Closed(Closed::abnormal())),
        }
    }

    /// A failed write mostly means that the other side has closed: its close frame, which says
    /// why, is still to be read.
    async fn write_failed(&mut self, error: Error) -> Result<(), Error> {
        match self.socket.closed().await {
            Ok(closed) => Err(Error::Closed(closed)),
            Err(_) => Err(error),
        }
    }

    async fn receive(&mut self, frame: Frame) -> Result<(), Error> {
        let frame = match frame {
            Frame::Text(frame) | Frame::Binary(frame) => frame,
            Frame::Ping | Frame::Pong => return Ok(()),
            Frame::Closed(closed) => {
                self.socket.finish().await;
                return Err(Error::Closed(closed));
            }
        };
        for Reply { id, body } in self.socket.decode(&frame)? {
            match body {
                ReplyBody::Push(push) => self.backlog.push_back(push),
                ReplyBody::Ping => {
                    if self.pong {
                        self.socket.send_commands(&[Command::default()]).await?;
                    }
                }
                body => {
                    let reply = match body {
                        ReplyBody::Error(error) => Err(Error::Reply(error)),
                        body => Ok(body),
                    };
                    if let Some(waiting) = self.waiting.remove(&id) {
                        // Whoever gave up waiting needs no answer.
                        let _ = waiting.send(reply);
                    }
                }
            }
        }
        Ok(())
    }
}

//! The threads that connections live on, each with an event loop of its own.
//!
//! Everything about one connection happens on one thread: no work is stolen, and
//! no other thread is woken for a client that says something. A runtime that
//! shares its tasks among threads costs several microseconds more per wake-up,
//! which is what an idle connection's heartbeat or a small room is made of. The
//! broker's connections live on them for the same reason.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::deliveries::Deliveries;
use crate::node::Node;
use crate::poller::Poller;
use crate::wheel::Wheel;

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of the reactor whose thread this is.
pub(crate) fn current() -> Option<usize> {
    CURRENT.get()
}

/// One thread's part of the node.
#[derive(Debug)]
pub(crate) struct Reactor {
    number: usize,
    handle: Handle,
    /// Its connections.
    pub(crate) poller: Arc<Poller>,
    /// The timers of its connections.
    pub(crate) wheel: Wheel,
    /// The channels that it has to deliver.
    pub(crate) deliveries: Deliveries,
}

/// All of a node.
#[derive(Debug)]
pub(crate) struct Reactors {
    all: Box<[Arc<Reactor>]>,
    stopped: CancellationToken,
}

impl Reactors {
    /// Starts one thread per processor that the process may use.
    ///
    /// # Errors
    /// The operating system's, if a thread or its event loop cannot be made.
    pub(crate) fn start(clock: Clock) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let stopped = CancellationToken::new();
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()?;
            let poller = {
                let _entered = runtime.enter();
                Poller::new()?
            };
            all.push(Arc::new(Reactor {
                number,
                handle: runtime.handle().clone(),
                poller: Arc::clone(&poller),
                wheel: Wheel::new(clock, number, count),
                deliveries: Deliveries::default(),
            }));
            let stopped = stopped.clone();
            std::thread::Builder::new()
                .name(format!("reactor-{number}"))
                .spawn(move || {
                    CURRENT.set(Some(number));
                    runtime.block_on(stopped.cancelled());
                    drop(runtime);
                    poller.clear();
                })?;
        }
        Ok(Self {
            all: all.into(),
            stopped,
        })
    }

    /// Ends the threads, and with them all tasks and connections that still live on them.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<Reactor>> {
        self.all.iter()
    }

    /// The one whose thread this is; on a thread of none, that which `number`
    /// stands for, whatever the number.
    pub(crate) fn here_or(&self, number: usize) -> &Arc<Reactor> {
        &self.all[current().unwrap_or(number) % self.all.len()]
    }
}

impl Drop for Reactors {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Reactor {
    /// Starts its loops. Each is a task of its own, and but for the wheel's none is even
    /// asked whether it is to stop: they run for whatever any client does.
    pub(crate) fn run(self: &Arc<Self>, node: &Arc<Node>) {
        let loops = [
            self.spawn(node, |on, node| async move {
                let after = |channel: &_, delivered| node.after(channel, delivered);
                on.deliveries.run(after).await;
            }),
            self.spawn(node, |on, node| async move {
                node.hub.helpers().run(on.number).await;
            }),
            self.spawn(node, |on, _| async move { on.poller.answer_calls().await }),
            self.spawn(node, |on, _| async move {
                let Err(error) = on.poller.watch(&on.wheel).await;
                tracing::error!(%error, "waiting for sockets failed");
            }),
        ];
        self.spawn(node, |on, node| async move {
            on.wheel.run(node.stopped.clone()).await;
        });
        let stopped = node.stopped.clone();
        node.tasks.spawn(async move {
            stopped.cancelled().await;
            for one in loops {
                one.abort();
            }
        });
    }

    fn spawn<F>(
        self: &Arc<Self>,
        node: &Arc<Node>,
        task: impl FnOnce(Arc<Self>, Arc<Node>) -> F,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = task(Arc::clone(self), Arc::clone(node));
        node.tasks.spawn_on(task, &self.handle)
    }

    /// Where its tasks are spawned.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

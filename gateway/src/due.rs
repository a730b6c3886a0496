//! What a thread has to do as soon as it comes to it, and the loop that does it.

use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::task::yield_now;

/// Done before other tasks of the thread get their turn.
pub(crate) const IN_A_ROW: usize = 64;

/// See the module. It has no bound of its own: who adds something sees to it that it is in
/// it once.
#[derive(Debug)]
pub(crate) struct Due<T> {
    items: Mutex<Vec<T>>,
    task: AtomicWaker,
}

impl<T> Default for Due<T> {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            task: AtomicWaker::new(),
        }
    }
}

impl<T> Due<T> {
    /// Adds something, from any thread.
    pub(crate) fn add(&self, item: T) {
        let mut items = self.items.lock();
        let was_empty = items.is_empty();
        items.push(item);
        drop(items);
        if was_empty {
            self.task.wake();
        }
    }

    /// The same, unless something waits already.
    pub(crate) fn add_if_idle(&self, item: T) {
        let mut items = self.items.lock();
        if items.is_empty() {
            items.push(item);
            drop(items);
            self.task.wake();
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.items.lock().is_empty()
    }

    /// Calls `each` with whatever is added, for ever, and `then` whenever others are about
    /// to get their turn. One task at a time may do so.
    pub(crate) async fn run(&self, mut each: impl FnMut(T), mut then: impl FnMut()) {
        loop {
            for (done, item) in self.next().await.into_iter().enumerate() {
                if done > 0 && done % IN_A_ROW == 0 {
                    then();
                    yield_now().await;
                }
                each(item);
            }
            then();
            // Only if there is more: a turn that is given for nothing is a system call.
            if !self.is_idle() {
                yield_now().await;
            }
        }
    }

    async fn next(&self) -> Vec<T> {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            let items = mem::take(&mut *self.items.lock());
            if items.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(items)
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[tokio::test]
    async fn who_has_something_to_do_is_given_no_more_if_not_idle() {
        let due = Due::default();
        due.add_if_idle(1);
        due.add_if_idle(2);
        due.add(3);
        assert_eq!(due.next().await, [1, 3]);
        due.add_if_idle(4);
        assert_eq!(due.next().await, [4]);
    }

    /// Also what is added meanwhile is done, in its order, and nobody waits until all is.
    #[tokio::test]
    async fn others_get_their_turns_between() {
        const MANY: usize = 4 * IN_A_ROW;
        let due = Due::default();
        let done = RefCell::new(Vec::new());
        for item in 0..MANY {
            due.add(item);
        }
        let each = |item| {
            done.borrow_mut().push(item);
            if item < MANY {
                due.add(item + MANY);
            }
        };
        let told = Cell::new(0);
        let then = || told.set(done.borrow().len());
        let mut turns = vec![0];
        let others = async {
            while done.borrow().len() < 2 * MANY {
                assert_eq!(told.get(), done.borrow().len());
                turns.push(done.borrow().len());
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = due.run(each, then) => {}
            () = others => {}
        }
        assert_eq!(done.into_inner(), (0..2 * MANY).collect::<Vec<_>>());
        let mut steps = turns.windows(2).map(|two| two[1] - two[0]);
        assert!(steps.all(|step| step <= IN_A_ROW), "{turns:?}");
    }
}

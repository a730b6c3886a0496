//! Which channels a node wants to receive, and what Redis knows of it: a plain
//! structure.
//!
//! Only the connection's task talks to Redis, one command after the other. It asks
//! for the changes, carries them out and reports what was confirmed; between these
//! steps the set may change again, which is then the next change.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

/// The set of wanted channels.
#[derive(Default)]
pub(super) struct Interests {
    channels: HashMap<Arc<str>, Interest>,
    /// There is a connection, on which changes are to be carried out.
    linked: bool,
    /// Channels that were added or removed and of which Redis does not know yet.
    changed: HashSet<Arc<str>>,
    /// Channels that are in force again, after they were interrupted.
    uncertain: Vec<Arc<str>>,
}

struct Interest {
    standing: Standing,
    waiting: Vec<oneshot::Sender<()>>,
    /// Of the newest publication, kept to share it.
    epoch: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Never confirmed.
    Asked,
    /// Confirmed by Redis on the present connection.
    InForce,
    /// Confirmed on a connection that is gone.
    Interrupted,
}

/// What Redis must be told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) added: Vec<Arc<str>>,
    pub(super) removed: Vec<Arc<str>>,
}

impl Interests {
    /// Adds a channel. `None`: it is in force already; else what tells so.
    pub(super) fn add(&mut self, channel: &str) -> Option<oneshot::Receiver<()>> {
        let name: Arc<str> = channel.into();
        let interest = match self.channels.entry(Arc::clone(&name)) {
            Entry::Occupied(interest) => interest.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Interest {
                standing: Standing::Asked,
                waiting: Vec::new(),
                epoch: None,
            }),
        };
        if interest.standing == Standing::InForce {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        interest.waiting.push(sender);
        self.change(name);
        Some(receiver)
    }

    /// Removes a channel. Returns whether there is something to tell Redis.
    pub(super) fn remove(&mut self, channel: &str) -> bool {
        match self.channels.remove_entry(channel) {
            Some((name, _)) => {
                self.change(name);
                true
            }
            None => false,
        }
    }

    /// Takes a wish back for which nobody waits any more, if it never came true.
    /// Returns whether there is something to tell Redis.
    pub(super) fn give_up(&mut self, channel: &str) -> bool {
        let Some(interest) = self.channels.get_mut(channel) else {
            return false;
        };
        interest.waiting.retain(|sender| !sender.is_closed());
        let vain = interest.standing == Standing::Asked && interest.waiting.is_empty();
        vain && self.remove(channel)
    }

    pub(super) fn is_in_force(&self, channel: &str) -> bool {
        let interest = self.channels.get(channel);
        interest.is_some_and(|i| i.standing == Standing::InForce)
    }

    /// The connection is gone.
    pub(super) fn interrupt(&mut self) {
        self.linked = false;
        // All is new to the next connection.
        self.changed = HashSet::new();
        self.uncertain = Vec::new();
        for interest in self.channels.values_mut() {
            if interest.standing == Standing::InForce {
                interest.standing = Standing::Interrupted;
            }
        }
    }

    /// There is a new connection, which knows nothing.
    pub(super) fn resume(&mut self) {
        self.linked = true;
        self.changed = self.channels.keys().cloned().collect();
    }

    /// What to tell Redis now.
    pub(super) fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for name in std::mem::take(&mut self.changed) {
            match self.channels.get(&name) {
                Some(interest) if interest.standing == Standing::InForce => {}
                Some(_) => changes.added.push(name),
                None => changes.removed.push(name),
            }
        }
        changes
    }

    /// Redis has confirmed it: what comes after this is wanted.
    pub(super) fn confirm(&mut self, channel: &str) {
        let Some(interest) = self.channels.get_mut(channel) else {
            // Removed meanwhile: the next change.
            return;
        };
        if interest.standing == Standing::Interrupted {
            self.uncertain.push(channel.into());
        }
        interest.standing = Standing::InForce;
        for sender in std::mem::take(&mut interest.waiting) {
            // Nobody waits: fine, see `Asking`.
            let _ = sender.send(());
        }
    }

    /// Channels of which publications may have been lost, and no more will be.
    pub(super) fn take_uncertain(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.uncertain)
    }

    /// `None` if the channel's publications are not wanted, or not yet: these are
    /// from before the subscription. Else its epoch to share, if any.
    pub(super) fn epoch(&mut self, channel: &str, epoch: &str) -> Option<Option<Arc<str>>> {
        let interest = self.channels.get_mut(channel)?;
        if interest.standing != Standing::InForce {
            return None;
        }
        if epoch.is_empty() {
            return Some(None);
        }
        match &interest.epoch {
            Some(known) if **known == *epoch => {}
            _ => interest.epoch = Some(epoch.into()),
        }
        Some(interest.epoch.clone())
    }

    fn change(&mut self, name: Arc<str>) {
        if self.linked {
            self.changed.insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked() -> Interests {
        let mut interests = Interests::default();
        interests.resume();
        interests
    }

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_channel_is_asked_for_once_however_many_wait() {
        let mut interests = linked();
        let mut first = interests.add("a").unwrap();
        let mut second = interests.add("a").unwrap();
        assert_eq!(interests.take_changes().added, names(&["a"]));
        assert!(first.try_recv().is_err());
        interests.confirm("a");
        assert_eq!(first.try_recv(), Ok(()));
        assert_eq!(second.try_recv(), Ok(()));
        assert!(interests.add("a").is_none());
        assert_eq!(interests.take_changes(), Changes::default());
    }

    #[test]
    fn changing_ones_mind_while_redis_is_asked_is_the_next_change() {
        let mut interests = linked();
        let _waiting = interests.add("a");
        assert_eq!(interests.take_changes().added, names(&["a"]));
        interests.remove("a");
        interests.confirm("a");
        assert!(!interests.is_in_force("a"));
        assert_eq!(interests.take_changes().removed, names(&["a"]));
        // Redis is being told to unsubscribe, when it is wanted again.
        let mut waiting = interests.add("a").unwrap();
        assert!(waiting.try_recv().is_err());
        assert_eq!(interests.take_changes().added, names(&["a"]));
    }

    #[test]
    fn a_wish_in_vain_does_not_stay() {
        let mut interests = linked();
        let first = interests.add("a").unwrap();
        let second = interests.add("a").unwrap();
        interests.take_changes();
        drop(first);
        assert!(!interests.give_up("a"), "the second one still waits");
        drop(second);
        assert!(interests.give_up("a"));
        // It may be on its way to Redis.
        assert_eq!(interests.take_changes().removed, names(&["a"]));
    }

    #[test]
    fn what_was_in_force_stays_through_an_outage_and_is_uncertain_afterwards() {
        let mut interests = linked();
        let _a = interests.add("a");
        interests.take_changes();
        interests.confirm("a");
        interests.interrupt();
        let again = interests.add("a").unwrap();
        drop(again);
        assert!(!interests.give_up("a"), "the earlier subscription holds");
        let _b = interests.add("b");
        assert_eq!(interests.take_changes(), Changes::default(), "no link");

        interests.resume();
        let mut added = interests.take_changes().added;
        added.sort();
        assert_eq!(added, names(&["a", "b"]));
        interests.confirm("a");
        interests.confirm("b");
        assert_eq!(interests.take_uncertain(), names(&["a"]));
    }

    #[test]
    fn an_outage_during_the_resumption_is_not_forgotten() {
        let mut interests = linked();
        let _a = interests.add("a");
        interests.take_changes();
        interests.confirm("a");
        interests.interrupt();
        interests.resume();
        interests.take_changes();
        interests.confirm("a");
        interests.interrupt();
        interests.resume();
        interests.take_changes();
        interests.confirm("a");
        assert_eq!(interests.take_uncertain(), names(&["a"]));
    }

    #[test]
    fn epochs_are_shared() {
        let mut interests = linked();
        assert_eq!(interests.epoch("a", "x"), None);
        let _a = interests.add("a");
        assert_eq!(interests.epoch("a", "x"), None, "it is not in force yet");
        interests.confirm("a");
        let first = interests.epoch("a", "x").unwrap().unwrap();
        let second = interests.epoch("a", "x").unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(interests.epoch("a", ""), Some(None));
        assert_eq!(interests.epoch("a", "y").unwrap().as_deref(), Some("y"));
    }
}

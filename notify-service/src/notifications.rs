//! Notifying users: once per key, in batches, stored before anybody hears of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use journal::Publisher;
use service::{Timestamp, within};

use crate::error::{Error, Result};
use crate::notification::{Content, IdempotencyKey};
use crate::store::{Notified, Store};
use crate::user::UserId;

/// Users of one call at most.
pub const MAX_USERS: usize = 1_000;
/// Users notified in one transaction: enough to share its cost, few enough that
/// nobody's inbox stays locked for long.
const BATCH: usize = 100;

/// Stores notifications and lets their events be published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifications {
    store: Arc<dyn Store>,
    publisher: Publisher,
    deadline: Duration,
}

/// What became of one user's notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The user.
    pub user: UserId,
    /// The id of the notification in the user's inbox.
    pub notification_id: String,
    /// It was there already, by its idempotency key.
    pub duplicate: bool,
}

impl Notifications {
    /// Notifications in a store, each batch of which gets a deadline.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, publisher: Publisher, deadline: Duration) -> Self {
        Self {
            store,
            publisher,
            deadline,
        }
    }

    /// Notifies users. A user who is named twice is notified once. The answer is in
    /// the order in which users are first named.
    ///
    /// Users are stored in batches. After an error some may have been notified: the
    /// same call with the same key completes it.
    ///
    /// # Errors
    /// [`Error::Invalid`] before anything was stored; [`Error::Unavailable`].
    pub async fn notify(
        &self,
        users: &[String],
        content: Content,
        key: Option<IdempotencyKey>,
    ) -> Result<Vec<Outcome>> {
        let named = parse_users(users)?;
        content.check()?;
        let content = Arc::new(content);

        // Sorted, because that is the order in which inboxes are locked.
        let mut sorted = named.clone();
        sorted.sort_unstable();
        let mut outcomes = HashMap::with_capacity(sorted.len());
        for batch in sorted.chunks(BATCH) {
            let call = self
                .store
                .notify(batch, &content, key.as_ref(), Timestamp::now());
            let notified = within(self.deadline, call).await?;
            for (user, notified) in batch.iter().zip(notified) {
                outcomes.insert(user.clone(), self.publish(user, notified));
            }
        }
        let in_order = named.iter().filter_map(|user| outcomes.remove(user));
        Ok(in_order.collect())
    }

    fn publish(&self, user: &UserId, notified: Notified) -> Outcome {
        let (notification_id, duplicate) = match notified {
            Notified::Created { id, appended } => {
                self.publisher.committed(appended);
                (id, false)
            }
            Notified::Duplicate { id } => (id, true),
        };
        Outcome {
            user: user.clone(),
            notification_id,
            duplicate,
        }
    }
}

/// Users in the order in which they are first named, each once.
fn parse_users(users: &[String]) -> Result<Vec<UserId>> {
    if users.is_empty() || users.len() > MAX_USERS {
        return Err(Error::invalid(format!(
            "users must have 1 to {MAX_USERS} entries, not {}",
            users.len()
        )));
    }
    let mut seen = HashSet::with_capacity(users.len());
    let mut parsed = Vec::with_capacity(users.len());
    for (index, user) in users.iter().enumerate() {
        let user = UserId::parse(user)
            .map_err(|error| Error::invalid(format!("users[{index}]: {error}")))?;
        if seen.insert(user.clone()) {
            parsed.push(user);
        }
    }
    Ok(parsed)
}

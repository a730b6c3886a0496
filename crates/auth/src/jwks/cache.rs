//! Which keys are known, how old that knowledge is, and when to ask again.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as FlightMutex, OwnedMutexGuard};

use super::document::{self, KeySet, PublishedKey};
use super::fetch::Endpoint;
use crate::{Error, TokenError};

/// Keys are used this long before they are asked for again.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);
/// Keys are used this long while asking again fails.
const USABLE_FOR: Duration = Duration::from_secs(2 * 60 * 60);
/// Shortest pause between two fetches: all that tokens with made-up key ids, or
/// a provider that is down, can cause.
const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// A published key set, as far as it is known here.
pub(crate) struct Jwks(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    state: Mutex<State>,
    /// Held while a fetch runs, so that one runs at a time.
    flight: Arc<FlightMutex<()>>,
}

impl Jwks {
    pub(crate) fn new(address: &str) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            endpoint: Endpoint::new(address)?,
            state: Mutex::default(),
            flight: Arc::default(),
        })))
    }

    /// The key with this id. Waits for a fetch only when nothing else can tell.
    pub(crate) async fn key(&self, kid: &str) -> Result<Arc<PublishedKey>, TokenError> {
        let shared = &self.0;
        let asked_at = Instant::now();
        let known = shared.state().look_up(kid, asked_at);
        match known {
            LookUp::Known(key) => return Ok(key),
            LookUp::Aging(key) => {
                if let Ok(flight) = Arc::clone(&shared.flight).try_lock_owned() {
                    tokio::spawn(Arc::clone(shared).fetch(flight));
                }
                return Ok(key);
            }
            LookUp::Wait => return Err(shared.state().unavailable()),
            LookUp::Ask => {}
        }
        let flight = Arc::clone(&shared.flight).lock_owned().await;
        // Whoever held the flight before us may have fetched what we need.
        let after_waiting = shared.state().look_up(kid, Instant::now());
        if matches!(after_waiting, LookUp::Ask) {
            // In a task of its own: a client that leaves does not take the fetch
            // with it. The fetch ends by its own timeout.
            if tokio::spawn(Arc::clone(shared).fetch(flight))
                .await
                .is_err()
            {
                return Err(shared.state().unavailable());
            }
        }
        let state = shared.state();
        match state.look_up(kid, Instant::now()) {
            LookUp::Known(key) | LookUp::Aging(key) => Ok(key),
            LookUp::Ask | LookUp::Wait => {
                if state.fetched_at.is_some_and(|at| at >= asked_at) {
                    return Err(TokenError::invalid("no such key is published (`kid`)"));
                }
                Err(state.unavailable())
            }
        }
    }
}

impl Shared {
    /// Fetches the key set and remembers it, or the failure. Ends by itself.
    async fn fetch(self: Arc<Self>, flight: OwnedMutexGuard<()>) {
        let began_at = Instant::now();
        let result = match self.endpoint.fetch().await {
            Ok(document) => document::parse(&document).map_err(str::to_owned),
            Err(error) => Err(error.to_string()),
        };
        match &result {
            Ok(keys) => tracing::debug!(keys = keys.len(), "the key set was fetched"),
            Err(error) => {
                tracing::warn!(error, endpoint = ?self.endpoint, "the key set was not fetched");
            }
        }
        self.state().record(result, began_at, Instant::now());
        drop(flight);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked, and every state is a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known. No clock, no network: times come in as arguments.
#[derive(Default)]
struct State {
    keys: KeySet,
    /// When the fetch began that brought `keys`.
    fetched_at: Option<Instant>,
    /// When the newest fetch ended, well or badly.
    attempted_at: Option<Instant>,
    error: Option<String>,
}

/// What the state says about a key.
#[derive(Debug)]
enum LookUp {
    /// Use it.
    Known(Arc<PublishedKey>),
    /// Use it, and have the set fetched.
    Aging(Arc<PublishedKey>),
    /// Unknown: fetch the set.
    Ask,
    /// Unknown, and too early to ask again.
    Wait,
}

impl State {
    fn look_up(&self, kid: &str, now: Instant) -> LookUp {
        let pausing = self
            .attempted_at
            .is_some_and(|at| now.saturating_duration_since(at) < FETCH_PAUSE);
        let age = self
            .fetched_at
            .map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        match self.keys.get(kid) {
            Some(key) if age < FRESH_FOR => LookUp::Known(Arc::clone(key)),
            Some(key) if age < USABLE_FOR && pausing => LookUp::Known(Arc::clone(key)),
            Some(key) if age < USABLE_FOR => LookUp::Aging(Arc::clone(key)),
            _ if pausing => LookUp::Wait,
            _ => LookUp::Ask,
        }
    }

    fn record(&mut self, result: Result<KeySet, String>, began_at: Instant, now: Instant) {
        self.attempted_at = Some(now);
        match result {
            Ok(keys) => {
                self.keys = keys;
                self.fetched_at = Some(began_at);
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn unavailable(&self) -> TokenError {
        TokenError::Unavailable(match &self.error {
            Some(error) => Cow::Owned(error.clone()),
            None => Cow::Borrowed("the key set was fetched a moment ago without this key"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn set(kid: &str) -> KeySet {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8037, A.2
        let document =
            format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#);
        document::parse(document.as_bytes()).unwrap()
    }

    #[test]
    fn keys_are_fresh_then_aging_then_gone() {
        let start = Instant::now();
        let mut state = State::default();
        assert!(matches!(state.look_up("a", start), LookUp::Ask));

        state.record(Ok(set("a")), start, start);
        assert!(matches!(state.look_up("a", start), LookUp::Known(_)));
        let before_the_hour = start + HOUR - Duration::from_secs(1);
        assert!(matches!(
            state.look_up("a", before_the_hour),
            LookUp::Known(_)
        ));
        assert!(matches!(state.look_up("a", start + HOUR), LookUp::Aging(_)));
        assert!(matches!(state.look_up("a", start + 2 * HOUR), LookUp::Ask));
    }

    #[test]
    fn unknown_keys_ask_no_more_than_once_in_a_pause() {
        let start = Instant::now();
        let mut state = State::default();
        state.record(Ok(set("a")), start, start);
        assert!(matches!(state.look_up("b", start), LookUp::Wait));
        assert!(matches!(
            state.look_up("b", start + FETCH_PAUSE),
            LookUp::Ask
        ));
    }

    #[test]
    fn a_failed_refresh_keeps_the_keys_and_pauses() {
        let start = Instant::now();
        let mut state = State::default();
        state.record(Ok(set("a")), start, start);
        let later = start + HOUR;
        state.record(Err("down".to_owned()), later, later);
        assert!(matches!(state.look_up("a", later), LookUp::Known(_)));
        assert!(matches!(
            state.look_up("a", later + FETCH_PAUSE),
            LookUp::Aging(_)
        ));
        assert_eq!(state.unavailable(), TokenError::Unavailable("down".into()));
    }

    #[test]
    fn a_new_set_replaces_the_old_one() {
        let start = Instant::now();
        let mut state = State::default();
        state.record(Ok(set("a")), start, start);
        let later = start + FETCH_PAUSE;
        state.record(Ok(set("b")), later, later);
        assert!(matches!(state.look_up("a", later), LookUp::Wait));
        assert!(matches!(state.look_up("b", later), LookUp::Known(_)));
    }
}

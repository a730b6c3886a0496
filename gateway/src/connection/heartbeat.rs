//! When the server pings, and what becomes of a client that does not answer.

use wire::Disconnect;

use crate::clock::Millis;

/// How often the server pings, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PingPolicy {
    /// Time between two pings.
    pub(crate) interval: u64,
    /// How long the client may take to answer; 0: it need not.
    pub(crate) timeout: u64,
}

/// How a connection's heartbeat stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heartbeat {
    /// Not connected yet; closed as stale when the time comes.
    Stale { at: Millis },
    /// The next ping goes out at this time.
    Idle { ping_at: Millis },
    /// A ping went out, and the client must answer within its time.
    Waiting(Pinged),
}

/// A ping that went out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinged {
    /// When it went out.
    pub(super) since: Millis,
    /// The wheel counts it among those that are not answered.
    pub(super) watched: bool,
}

/// When the wheel is to look at a connection again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    /// At this time whatever happens.
    pub(crate) at: Millis,
    /// And at this one, unless the client has answered the ping that just went out.
    pub(crate) unless_answered: Option<Millis>,
}

/// What is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    /// A ping is to go out now.
    pub(super) ping: bool,
    pub(super) next: Next,
}

impl Heartbeat {
    /// A pong arrived. `None`: none was due.
    pub(super) fn pong(&mut self, policy: Option<PingPolicy>) -> Option<Pinged> {
        let (Self::Waiting(pinged), Some(policy)) = (*self, policy) else {
            return None;
        };
        let ping_at = pinged.since + policy.interval;
        *self = Self::Idle { ping_at };
        Some(pinged)
    }

    /// Moves on to `now`. `busy`: the client's pongs are not read yet. `other_at`: when
    /// the wheel has to come for something else ([`Millis::MAX`]: never).
    ///
    /// # Errors
    /// The client did not connect or answer in time.
    pub(super) fn beat(
        &mut self,
        now: Millis,
        policy: Option<PingPolicy>,
        busy: bool,
        other_at: Millis,
    ) -> Result<Beat, Disconnect> {
        let mut ping = false;
        let mut unless_answered = None;
        let at = match (*self, policy) {
            (Self::Stale { at }, _) if now >= at => return Err(Disconnect::STALE),
            (Self::Stale { at }, _) => at,
            (Self::Idle { ping_at }, Some(policy)) if now >= ping_at => {
                ping = true;
                let ping_at = now + policy.interval;
                let pong_until = now + policy.timeout;
                if policy.timeout == 0 {
                    *self = Self::Idle { ping_at };
                    ping_at
                } else {
                    // Where all wait for the same next time, one count serves all.
                    let watched = other_at >= ping_at;
                    *self = Self::Waiting(Pinged {
                        since: now,
                        watched,
                    });
                    unless_answered = watched.then_some(pong_until);
                    if watched { ping_at } else { pong_until }
                }
            }
            (Self::Idle { ping_at }, Some(_)) => ping_at,
            (Self::Waiting(Pinged { since, .. }), Some(policy)) => {
                // From now on it is visited until it answers.
                let watched = false;
                *self = Self::Waiting(Pinged { since, watched });
                let pong_until = since + policy.timeout;
                if now >= pong_until && !busy {
                    return Err(Disconnect::NO_PONG);
                }
                pong_until.max(now + 1)
            }
            (Self::Idle { .. } | Self::Waiting(_), None) => Millis::MAX,
        };
        Ok(Beat {
            ping,
            next: Next {
                at: at.min(other_at),
                unless_answered,
            },
        })
    }
}

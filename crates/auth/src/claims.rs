//! What a token says: the claims of the two kinds of tokens, with the types
//! checked and the rules of expiry applied.

use std::collections::BTreeMap;
use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::TokenError;

/// What a connection token grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionClaims {
    /// The user's id; empty for an anonymous user.
    pub user: String,
    /// When the connection expires, in Unix seconds; `None`: never. May lie in
    /// the past, since `expire_at` is not checked here: the token is then good
    /// and the connection is not (error 110).
    pub expire_at: Option<i64>,
    /// What others see of the connection: JSON as written in the token, or the
    /// bytes of `b64info`.
    pub info: Option<Bytes>,
    /// What the server remembers of the connection and never sends to clients:
    /// JSON as written in the token.
    pub meta: Option<Bytes>,
    /// Channels that the server subscribes the connection to. From `subs`, or if
    /// that is absent or empty from `channels`.
    pub subs: BTreeMap<String, ServerSubscription>,
}

/// One server-side subscription of a connection token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerSubscription {
    /// What others see of the connection in this channel.
    pub info: Option<Bytes>,
    /// Sent to the client with the subscription.
    pub data: Option<Bytes>,
    /// Options of the channel that this subscription changes.
    pub overrides: Overrides,
}

/// What a subscription token grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionClaims {
    /// The user's id; empty for an anonymous user.
    pub user: String,
    /// The channel. Never empty.
    pub channel: String,
    /// The connection that the token is bound to (deprecated); empty: any.
    pub client: String,
    /// When the subscription expires, in Unix seconds; `None`: never. May lie in
    /// the past, as in [`ConnectionClaims::expire_at`].
    pub expire_at: Option<i64>,
    /// What others see of the connection in this channel.
    pub info: Option<Bytes>,
    /// Sent to the client in the reply.
    pub data: Option<Bytes>,
    /// Options of the channel that this subscription changes.
    pub overrides: Overrides,
}

impl SubscriptionClaims {
    /// Whether the token is for this channel, this user and this connection.
    /// If not, the client presents what was not given to it: disconnect 3500.
    #[must_use]
    pub fn is_for(&self, channel: &str, user: &str, client: &str) -> bool {
        self.channel == channel
            && self.user == user
            && (self.client.is_empty() || self.client == client)
    }
}

/// Channel options that a token changes for one subscription; `None` leaves the
/// channel's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Whether the subscription is part of the channel's presence.
    pub presence: Option<bool>,
    /// Whether join and leave are published for it.
    pub join_leave: Option<bool>,
    /// Whether it receives join and leave without asking.
    pub force_push_join_leave: Option<bool>,
    /// Whether it recovers without asking.
    pub force_recovery: Option<bool>,
    /// Whether it is positioned without asking.
    pub force_positioning: Option<bool>,
}

/// The claims that every token may have (RFC 7519), and the checks that need them.
pub(crate) struct Registered {
    pub(crate) audiences: Vec<String>,
    pub(crate) issuer: String,
    expires_at: Option<i64>,
    not_before: Option<i64>,
    expire_at: Option<i64>,
}

impl Registered {
    /// `exp` is the first second in which the token is no longer accepted, `nbf`
    /// the first in which it is.
    pub(crate) fn check_time(&self, now: i64) -> Result<(), TokenError> {
        if self.expires_at.is_some_and(|at| now >= at) || self.not_before.is_some_and(|at| now < at)
        {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// When what the token opens expires: `expire_at` if it is there (0: never),
    /// otherwise `exp`.
    fn granted_until(&self) -> Option<i64> {
        match self.expire_at {
            Some(at) => Some(at).filter(|at| *at > 0),
            None => self.expires_at,
        }
    }
}

/// Claims whose JSON types are right and whose values nobody has looked at yet.
pub(crate) trait RawClaims<'a>: Deserialize<'a> {
    type Claims;

    /// Takes out the registered claims.
    fn registered(&mut self) -> Registered;

    /// Judges and copies the rest. `user` replaces the claim `sub`.
    fn finish(
        self,
        registered: &Registered,
        user: Option<String>,
    ) -> Result<Self::Claims, TokenError>;
}

// The registered claims are repeated in both structures because
// `serde(flatten)` would buffer everything and cannot keep raw JSON.

#[derive(Deserialize)]
pub(crate) struct RawConnectionClaims<'a> {
    #[serde(default)]
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    #[serde(rename = "jti")]
    _jti: Option<String>,
    aud: Option<Audiences>,
    iss: Option<String>,
    expire_at: Option<NumericDate>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<BTreeMap<String, RawServerSubscription<'a>>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    channel: Option<String>,
}

impl<'a> RawClaims<'a> for RawConnectionClaims<'a> {
    type Claims = ConnectionClaims;

    fn registered(&mut self) -> Registered {
        Registered {
            audiences: self.aud.take().unwrap_or_default().0,
            issuer: self.iss.take().unwrap_or_default(),
            expires_at: seconds(self.exp),
            not_before: seconds(self.nbf),
            expire_at: seconds(self.expire_at),
        }
    }

    fn finish(
        self,
        registered: &Registered,
        user: Option<String>,
    ) -> Result<ConnectionClaims, TokenError> {
        if self.channel.is_some_and(|channel| !channel.is_empty()) {
            return Err(TokenError::invalid(
                "a connection token must have no `channel`",
            ));
        }
        let mut subs = BTreeMap::new();
        for (channel, raw) in self.subs.unwrap_or_default() {
            subs.insert(channel, raw.finish()?);
        }
        if subs.is_empty() {
            for channel in self.channels.unwrap_or_default() {
                subs.insert(channel, ServerSubscription::default());
            }
        }
        Ok(ConnectionClaims {
            user: user.or(self.sub).unwrap_or_default(),
            expire_at: registered.granted_until(),
            info: payload(
                self.info,
                self.b64info.as_deref(),
                "`b64info` is not base64",
            )?,
            meta: self.meta.map(copy),
            subs,
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct RawSubscriptionClaims<'a> {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    #[serde(rename = "jti")]
    _jti: Option<String>,
    aud: Option<Audiences>,
    iss: Option<String>,
    expire_at: Option<NumericDate>,
    channel: Option<String>,
    client: Option<String>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<RawOverrides>,
}

impl<'a> RawClaims<'a> for RawSubscriptionClaims<'a> {
    type Claims = SubscriptionClaims;

    fn registered(&mut self) -> Registered {
        Registered {
            audiences: self.aud.take().unwrap_or_default().0,
            issuer: self.iss.take().unwrap_or_default(),
            expires_at: seconds(self.exp),
            not_before: seconds(self.nbf),
            expire_at: seconds(self.expire_at),
        }
    }

    fn finish(
        self,
        registered: &Registered,
        user: Option<String>,
    ) -> Result<SubscriptionClaims, TokenError> {
        let channel = self.channel.unwrap_or_default();
        if channel.is_empty() {
            return Err(TokenError::invalid(
                "a subscription token must have a `channel`",
            ));
        }
        Ok(SubscriptionClaims {
            user: user.or(self.sub).unwrap_or_default(),
            channel,
            client: self.client.unwrap_or_default(),
            expire_at: registered.granted_until(),
            info: payload(
                self.info,
                self.b64info.as_deref(),
                "`b64info` is not base64",
            )?,
            data: payload(
                self.data,
                self.b64data.as_deref(),
                "`b64data` is not base64",
            )?,
            overrides: self.overrides.unwrap_or_default().finish(),
        })
    }
}

#[derive(Deserialize)]
struct RawServerSubscription<'a> {
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<RawOverrides>,
}

impl RawServerSubscription<'_> {
    fn finish(self) -> Result<ServerSubscription, TokenError> {
        Ok(ServerSubscription {
            info: payload(
                self.info,
                self.b64info.as_deref(),
                "`b64info` in `subs` is not base64",
            )?,
            data: payload(
                self.data,
                self.b64data.as_deref(),
                "`b64data` in `subs` is not base64",
            )?,
            overrides: self.overrides.unwrap_or_default().finish(),
        })
    }
}

#[derive(Default, Deserialize)]
struct RawOverrides {
    presence: Option<BoolValue>,
    join_leave: Option<BoolValue>,
    force_push_join_leave: Option<BoolValue>,
    force_recovery: Option<BoolValue>,
    force_positioning: Option<BoolValue>,
}

impl RawOverrides {
    fn finish(self) -> Overrides {
        let value = |option: Option<BoolValue>| option.map(|option| option.value);
        Overrides {
            presence: value(self.presence),
            join_leave: value(self.join_leave),
            force_push_join_leave: value(self.force_push_join_leave),
            force_recovery: value(self.force_recovery),
            force_positioning: value(self.force_positioning),
        }
    }
}

/// `{"value": true}`; an absent value is false, as a Protobuf writer leaves it out.
#[derive(Deserialize)]
struct BoolValue {
    #[serde(default)]
    value: bool,
}

/// The base64 form if it is there, otherwise the JSON as written.
fn payload(
    json: Option<&RawValue>,
    base64: Option<&str>,
    not_base64: &'static str,
) -> Result<Option<Bytes>, TokenError> {
    match base64 {
        Some(text) if !text.is_empty() => STANDARD
            .decode(text)
            .map(|bytes| Some(bytes.into()))
            .map_err(|_| TokenError::invalid(not_base64)),
        _ => Ok(json.map(copy)),
    }
}

/// A copy, since a slice would keep the whole token's text for as long as the
/// connection lives.
fn copy(json: &RawValue) -> Bytes {
    Bytes::copy_from_slice(json.get().as_bytes())
}

fn seconds(date: Option<NumericDate>) -> Option<i64> {
    date.map(|date| date.0)
}

/// Unix seconds, written as an integer or (by some languages) with a fraction,
/// which is cut off.
#[derive(Clone, Copy)]
struct NumericDate(i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl Visitor<'_> for Seconds {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds")
            }

            fn visit_i64<E>(self, seconds: i64) -> Result<NumericDate, E> {
                Ok(NumericDate(seconds))
            }

            fn visit_u64<E>(self, seconds: u64) -> Result<NumericDate, E> {
                Ok(NumericDate(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }

            #[expect(
                clippy::cast_possible_truncation,
                reason = "the cast saturates, and a date beyond i64 is as good as its end"
            )]
            fn visit_f64<E>(self, seconds: f64) -> Result<NumericDate, E> {
                Ok(NumericDate(seconds.floor() as i64))
            }
        }

        deserializer.deserialize_any(Seconds)
    }
}

/// `aud`: a text or a list of texts.
#[derive(Default)]
struct Audiences(Vec<String>);

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Audiences;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, audience: &str) -> Result<Audiences, E> {
                Ok(Audiences(vec![audience.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audiences, A::Error> {
                let mut audiences = Vec::new();
                while let Some(audience) = list.next_element()? {
                    audiences.push(audience);
                }
                Ok(Audiences(audiences))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

//! From a token to its claims: parse, verify the signature, check the audience
//! and the issuer, then the time and the rest. A bad signature wins over expiry.

use std::borrow::Cow;
use std::fmt;

use regex::Regex;
use serde_json::Value;

use crate::claims::{RawClaims, RawConnectionClaims, RawSubscriptionClaims, Registered};
use crate::jwks::Jwks;
use crate::jws::Jws;
use crate::keys::{HmacKey, PublicKey};
use crate::{ConnectionClaims, Error, SubscriptionClaims, TokenConfig, TokenError};

/// Verifies tokens. Built once, shared by reference; cheap to use.
///
/// An HS256 token costs a few microseconds. The methods are asynchronous only
/// for JWKS, where a new key id waits for one fetch of the key set (at most a
/// few seconds, shared by all who wait); with configured keys they never wait.
pub struct TokenVerifier {
    keys: Keys,
    audience: Option<Expectation>,
    issuer: Option<Expectation>,
    /// Names of nested claims; empty: the claim `sub`.
    user_id_path: Vec<String>,
}

enum Keys {
    Configured(Box<ConfiguredKeys>),
    Published(Jwks),
}

struct ConfiguredKeys {
    hmac: Option<HmacKey>,
    hmac_previous: Option<Previous>,
    rsa: Option<PublicKey>,
    ecdsa: Option<PublicKey>,
}

/// A key on its way out.
struct Previous {
    key: HmacKey,
    valid_until: Option<i64>,
}

enum Expectation {
    Exactly(String),
    Matches(Regex),
}

impl TokenVerifier {
    /// Prepares the keys. Does no I/O: a key set is fetched when the first token
    /// needs it.
    ///
    /// # Errors
    /// A key that cannot be read, a regular expression or an address that is not
    /// one, or two settings that exclude each other.
    pub fn new(config: TokenConfig) -> Result<Self, Error> {
        let keys = if config.jwks_public_endpoint.is_empty() {
            Keys::Configured(Box::new(ConfiguredKeys::new(&config)?))
        } else {
            Keys::Published(Jwks::new(&config.jwks_public_endpoint)?)
        };
        let audience = Expectation::new(config.audience, &config.audience_regex, "audience_regex")?;
        let issuer = Expectation::new(config.issuer, &config.issuer_regex, "issuer_regex")?;
        Ok(Self {
            keys,
            audience,
            issuer,
            user_id_path: parse_path(&config.user_id_claim)?,
        })
    }

    /// Verifies a connection token at `now` (Unix seconds).
    ///
    /// # Errors
    /// See [`TokenError`]. A token that is both forged and expired is `Invalid`.
    pub async fn verify_connection(
        &self,
        token: &str,
        now: i64,
    ) -> Result<ConnectionClaims, TokenError> {
        let payload = self.verify_signature(token, now).await?;
        self.judge::<RawConnectionClaims<'_>>(&payload, now)
    }

    /// The same, for those who want to wait for nothing. `None`: the keys are
    /// published ones (JWKS), so it may have to wait.
    pub fn verify_connection_at_once(
        &self,
        token: &str,
        now: i64,
    ) -> Option<Result<ConnectionClaims, TokenError>> {
        let Keys::Configured(keys) = &self.keys else {
            return None;
        };
        let payload = Jws::parse(token).and_then(|jws| keys.open(&jws, now));
        Some(payload.and_then(|payload| self.judge::<RawConnectionClaims<'_>>(&payload, now)))
    }

    /// Verifies a subscription token at `now` (Unix seconds). Whose it is, and
    /// for which channel, is for the caller to compare:
    /// [`SubscriptionClaims::is_for`].
    ///
    /// # Errors
    /// See [`TokenError`]. A token that is both forged and expired is `Invalid`.
    pub async fn verify_subscription(
        &self,
        token: &str,
        now: i64,
    ) -> Result<SubscriptionClaims, TokenError> {
        let payload = self.verify_signature(token, now).await?;
        self.judge::<RawSubscriptionClaims<'_>>(&payload, now)
    }

    /// Returns the claims' JSON text, once we know who wrote it.
    async fn verify_signature(&self, token: &str, now: i64) -> Result<Vec<u8>, TokenError> {
        let jws = Jws::parse(token)?;
        match &self.keys {
            Keys::Configured(keys) => keys.open(&jws, now),
            Keys::Published(jwks) => {
                let Some(kid) = &jws.kid else {
                    return Err(TokenError::invalid("the header names no key (`kid`)"));
                };
                let key = jwks.key(kid).await?;
                payload_if(key.verify(jws.algorithm, jws.signed, &jws.signature), &jws)
            }
        }
    }

    fn judge<'a, R: RawClaims<'a>>(
        &self,
        payload: &'a [u8],
        now: i64,
    ) -> Result<R::Claims, TokenError> {
        let mut raw: R = serde_json::from_slice(payload).map_err(|error| describe(&error))?;
        let registered = raw.registered();
        self.check_parties(&registered)?;
        registered.check_time(now)?;
        let user = if self.user_id_path.is_empty() {
            None
        } else {
            Some(find_user(payload, &self.user_id_path)?)
        };
        raw.finish(&registered, user)
    }

    fn check_parties(&self, registered: &Registered) -> Result<(), TokenError> {
        if let Some(audience) = &self.audience
            && !registered
                .audiences
                .iter()
                .any(|one| audience.is_met_by(one))
        {
            return Err(TokenError::invalid("not for our audience (`aud`)"));
        }
        if let Some(issuer) = &self.issuer
            && !issuer.is_met_by(&registered.issuer)
        {
            return Err(TokenError::invalid("not from our issuer (`iss`)"));
        }
        Ok(())
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier").finish_non_exhaustive()
    }
}

impl ConfiguredKeys {
    fn new(config: &TokenConfig) -> Result<Self, Error> {
        let hmac = |secret: &str| (!secret.is_empty()).then(|| HmacKey::new(secret.as_bytes()));
        let valid_until = config.hmac_previous_secret_key_valid_until;
        Ok(Self {
            hmac: hmac(&config.hmac_secret_key),
            hmac_previous: hmac(&config.hmac_previous_secret_key).map(|key| Previous {
                key,
                valid_until: (valid_until != 0).then_some(valid_until),
            }),
            rsa: public_key(
                "rsa_public_key",
                &config.rsa_public_key,
                PublicKey::rsa_from_pem,
            )?,
            ecdsa: public_key(
                "ecdsa_public_key",
                &config.ecdsa_public_key,
                PublicKey::ecdsa_from_pem,
            )?,
        })
    }

    /// The claims' JSON text, once we know who wrote it.
    fn open(&self, jws: &Jws<'_>, now: i64) -> Result<Vec<u8>, TokenError> {
        payload_if(self.verify(jws, now), jws)
    }

    /// Each key refuses the algorithms that are not its own, so that at most one
    /// does any work, or two while a secret is being rotated.
    fn verify(&self, jws: &Jws<'_>, now: i64) -> bool {
        let by_hmac = |key: &HmacKey| key.verify(jws.algorithm, jws.signed, &jws.signature);
        let by_public = |key: &PublicKey| key.verify(jws.algorithm, jws.signed, &jws.signature);
        self.hmac.as_ref().is_some_and(by_hmac)
            || self.rsa.as_ref().is_some_and(by_public)
            || self.ecdsa.as_ref().is_some_and(by_public)
            || self.hmac_previous.as_ref().is_some_and(|previous| {
                previous.valid_until.is_none_or(|until| now < until) && by_hmac(&previous.key)
            })
    }
}

/// The claims' JSON text of a token whose signature is verified.
fn payload_if(verified: bool, jws: &Jws<'_>) -> Result<Vec<u8>, TokenError> {
    if !verified {
        return Err(TokenError::invalid(
            "the signature is wrong, or there is no key for its algorithm",
        ));
    }
    jws.decode_payload()
}

impl Expectation {
    fn new(exact: String, pattern: &str, key: &'static str) -> Result<Option<Self>, Error> {
        match (exact.is_empty(), pattern.is_empty()) {
            (true, true) => Ok(None),
            (false, true) => Ok(Some(Self::Exactly(exact))),
            (true, false) => Regex::new(pattern)
                .map(|regex| Some(Self::Matches(regex)))
                .map_err(|error| Error::new(key, error.to_string())),
            (false, false) => Err(Error::new(
                key,
                "an exact value and a regular expression exclude each other",
            )),
        }
    }

    fn is_met_by(&self, text: &str) -> bool {
        match self {
            Self::Exactly(exact) => exact == text,
            Self::Matches(regex) => regex.is_match(text),
        }
    }
}

fn public_key(
    key: &'static str,
    pem: &str,
    parse: impl FnOnce(&str) -> Result<PublicKey, &'static str>,
) -> Result<Option<PublicKey>, Error> {
    if pem.is_empty() {
        return Ok(None);
    }
    parse(pem)
        .map(Some)
        .map_err(|reason| Error::new(key, reason))
}

/// What was wrong with the claims, without what they were: serde's own message
/// may quote them.
fn describe(error: &serde_json::Error) -> TokenError {
    if error.is_data() {
        let column = error.column();
        TokenError::Invalid(Cow::Owned(format!(
            "a claim has the wrong type or comes twice (before byte {column})"
        )))
    } else {
        TokenError::invalid("the claims are not JSON")
    }
}

/// Splits `a.b\.c` into `a` and `b.c`.
fn parse_path(text: &str) -> Result<Vec<String>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut path = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let part = path.last_mut().expect("the path is never empty");
        match char {
            '.' => path.push(String::new()),
            '\\' => part.extend(chars.next()),
            _ => part.push(char),
        }
    }
    if path.iter().any(String::is_empty) {
        return Err(Error::new("user_id_claim", "a name in the path is empty"));
    }
    Ok(path)
}

/// The user's id at a path: a text, or an integer as its decimal text. Absent:
/// an anonymous user, as when `sub` is absent.
fn find_user(payload: &[u8], path: &[String]) -> Result<String, TokenError> {
    let claims: Value = serde_json::from_slice(payload).map_err(|error| describe(&error))?;
    let mut found = &claims;
    for name in path {
        match found.get(name) {
            Some(value) => found = value,
            None => return Ok(String::new()),
        }
    }
    match found {
        Value::Null => Ok(String::new()),
        Value::String(user) => Ok(user.clone()),
        Value::Number(user) if !user.is_f64() => Ok(user.to_string()),
        _ => Err(TokenError::invalid(
            "the claim with the user's id is neither a text nor an integer",
        )),
    }
}

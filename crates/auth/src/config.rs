//! What a verifier is built from. Names and meaning are Centrifugo's.

use std::fmt;

use serde::Deserialize;

/// Keys and expectations for one kind of token.
///
/// An empty text means "not set". With nothing set, every token is refused.
/// `Debug` shows which keys are set, never what they are.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// Shared secret for HS256, HS384 and HS512.
    pub hmac_secret_key: String,
    /// The secret before the last rotation, still accepted.
    pub hmac_previous_secret_key: String,
    /// Unix time in seconds until which the previous secret is accepted; 0: no end.
    pub hmac_previous_secret_key_valid_until: i64,
    /// RSA public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`, 2048 to 8192
    /// bits) for RS256, RS384 and RS512.
    pub rsa_public_key: String,
    /// ECDSA public key in PEM (`PUBLIC KEY`). Its curve decides the algorithm:
    /// P-256 for ES256, P-384 for ES384, P-521 for ES512.
    pub ecdsa_public_key: String,
    /// `http(s)` address of a JSON Web Key Set. When set it is the only source of
    /// keys: the ones above are not consulted.
    pub jwks_public_endpoint: String,
    /// The claim `aud` must be or contain this.
    pub audience: String,
    /// An audience of the token must match this regular expression. It matches
    /// anywhere in the text unless it is anchored.
    pub audience_regex: String,
    /// The claim `iss` must be this.
    pub issuer: String,
    /// The claim `iss` must match this regular expression. It matches anywhere
    /// in the text unless it is anchored.
    pub issuer_regex: String,
    /// Where the user's id is, when it is not in `sub`: a claim, or a path such
    /// as `profile.id`; a dot inside a name is written `\.`.
    pub user_id_claim: String,
}

impl fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |text: &str| if text.is_empty() { "" } else { "[redacted]" };
        f.debug_struct("TokenConfig")
            .field("hmac_secret_key", &secret(&self.hmac_secret_key))
            .field(
                "hmac_previous_secret_key",
                &secret(&self.hmac_previous_secret_key),
            )
            .field(
                "hmac_previous_secret_key_valid_until",
                &self.hmac_previous_secret_key_valid_until,
            )
            .field("rsa_public_key", &secret(&self.rsa_public_key))
            .field("ecdsa_public_key", &secret(&self.ecdsa_public_key))
            .field("jwks_public_endpoint", &secret(&self.jwks_public_endpoint))
            .field("audience", &self.audience)
            .field("audience_regex", &self.audience_regex)
            .field("issuer", &self.issuer)
            .field("issuer_regex", &self.issuer_regex)
            .field("user_id_claim", &self.user_id_claim)
            .finish()
    }
}

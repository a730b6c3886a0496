//! Connections of clients: who may connect, and their limits.

use runtime::config::{Secret, Timespan};
use serde::{Deserialize, Serialize};

/// Section `client`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the options are independent switches"
)]
pub struct ClientConfig {
    /// Connection tokens, and subscription tokens unless these have keys of their own.
    pub token: TokenConfig,
    /// Keys of subscription tokens.
    pub subscription_token: SubscriptionTokenConfig,
    /// Patterns of the `Origin` header that may connect, such as
    /// `https://*.example.com`. Empty: only requests without the header.
    pub allowed_origins: Vec<String>,
    /// Without a token a client connects as an anonymous user.
    pub allow_anonymous_connect_without_token: bool,
    /// A token with an empty user is refused.
    pub disallow_anonymous_connection_tokens: bool,
    /// Everything is allowed to everybody without a token. Never in production.
    pub insecure: bool,
    /// A header set by a trusted proxy that names the user; empty: none.
    pub user_id_http_header: String,
    /// Time between pings; 0: none.
    pub ping_interval: Timespan,
    /// How long a client may take to answer a ping; less than `ping_interval`.
    /// 0: it is not waited for.
    pub pong_timeout: Timespan,
    /// A connection that has not sent `connect` after this time is closed.
    pub stale_close_delay: Timespan,
    /// How long after its expiry a connection may still be refreshed.
    pub expired_close_delay: Timespan,
    /// How long after its expiry a subscription may still be refreshed.
    pub expired_sub_close_delay: Timespan,
    /// Most channels of one connection.
    pub channel_limit: usize,
    /// Most bytes that wait for a slow client.
    pub queue_max_size: usize,
    /// How often a client's presence is renewed.
    pub presence_update_interval: Timespan,
    /// How often the position of a channel is compared with the broker's; 0: never.
    pub channel_position_check_delay: Timespan,
    /// Most publications of one history call.
    pub history_max_publication_limit: u32,
    /// Most publications of one recovery.
    pub recovery_max_publication_limit: u32,
    /// Most connections of this node; 0: no limit.
    pub connection_limit: usize,
    /// Most connections of one user to this node; 0: no limit.
    pub user_connection_limit: usize,
    /// Most new connections per second; 0: no limit.
    pub connection_rate_limit: u32,
    /// The reply to `connect` holds the server's time.
    pub connect_include_server_time: bool,
    /// Every user is subscribed to a channel of their own.
    pub subscribe_to_user_personal_channel: PersonalChannelConfig,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            token: TokenConfig::default(),
            subscription_token: SubscriptionTokenConfig::default(),
            allowed_origins: Vec::new(),
            allow_anonymous_connect_without_token: false,
            disallow_anonymous_connection_tokens: false,
            insecure: false,
            user_id_http_header: String::new(),
            ping_interval: Timespan::from_secs(25),
            pong_timeout: Timespan::from_secs(8),
            stale_close_delay: Timespan::from_secs(10),
            expired_close_delay: Timespan::from_secs(25),
            expired_sub_close_delay: Timespan::from_secs(25),
            channel_limit: 128,
            queue_max_size: 1_048_576,
            presence_update_interval: Timespan::from_secs(27),
            channel_position_check_delay: Timespan::from_secs(40),
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            connection_limit: 0,
            user_connection_limit: 0,
            connection_rate_limit: 0,
            connect_include_server_time: false,
            subscribe_to_user_personal_channel: PersonalChannelConfig::default(),
        }
    }
}

/// Section `client.token`: how tokens are verified.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenConfig {
    /// For HS256, HS384, HS512.
    pub hmac_secret_key: Secret,
    /// The key before it, still accepted.
    pub hmac_previous_secret_key: Secret,
    /// Until when: Unix seconds; 0: always.
    pub hmac_previous_secret_key_valid_until: i64,
    /// PEM, for RS256, RS384, RS512.
    pub rsa_public_key: String,
    /// PEM, for ES256, ES384, ES512.
    pub ecdsa_public_key: String,
    /// Where a JSON Web Key Set is; if set, the only source of keys.
    pub jwks_public_endpoint: String,
    /// What `aud` must hold.
    pub audience: String,
    /// What `aud` must match; excludes `audience`.
    pub audience_regex: String,
    /// What `iss` must be.
    pub issuer: String,
    /// What `iss` must match; excludes `issuer`.
    pub issuer_regex: String,
    /// The claim that holds the user; empty: `sub`.
    pub user_id_claim: String,
}

impl TokenConfig {
    /// Whether any key is set.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !(self.hmac_secret_key.is_empty()
            && self.rsa_public_key.is_empty()
            && self.ecdsa_public_key.is_empty()
            && self.jwks_public_endpoint.is_empty())
    }

    /// As the verifier wants it.
    #[must_use]
    pub fn verifier(&self) -> auth::TokenConfig {
        auth::TokenConfig {
            hmac_secret_key: self.hmac_secret_key.expose().to_owned(),
            hmac_previous_secret_key: self.hmac_previous_secret_key.expose().to_owned(),
            hmac_previous_secret_key_valid_until: self.hmac_previous_secret_key_valid_until,
            rsa_public_key: self.rsa_public_key.clone(),
            ecdsa_public_key: self.ecdsa_public_key.clone(),
            jwks_public_endpoint: self.jwks_public_endpoint.clone(),
            audience: self.audience.clone(),
            audience_regex: self.audience_regex.clone(),
            issuer: self.issuer.clone(),
            issuer_regex: self.issuer_regex.clone(),
            user_id_claim: self.user_id_claim.clone(),
        }
    }
}

/// Section `client.subscription_token`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionTokenConfig {
    /// Subscription tokens have the keys below instead of those of `client.token`.
    pub enabled: bool,
    /// The keys.
    #[serde(flatten)]
    pub token: TokenConfig,
}

/// Section `client.subscribe_to_user_personal_channel`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PersonalChannelConfig {
    /// Every user is subscribed to `#<user>` when they connect.
    pub enabled: bool,
    /// The channel's namespace; empty: none.
    pub personal_channel_namespace: String,
    /// A user has one connection: older ones are closed with 3504.
    pub single_connection: bool,
}

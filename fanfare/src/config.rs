//! The configuration: the gateway's, a section for each service, and defaults that
//! make it start without any file.

use std::path::{Path, PathBuf};

use gateway::config::{ChannelOptions, NamespaceConfig, ServiceConfig};
use runtime::config::{
    ConfigError, Flags, Problem, Schema, Secret, SecretUrl, Sources, Timespan, duration,
};
use serde::{Deserialize, Serialize};
use service::engine::{EngineConfig, EngineType};

/// Defaults that are not the gateway's.
const BASE: [(&str, &str); 3] = [
    ("development.enabled", "true"),
    ("client.subscribe_to_user_personal_channel.enabled", "true"),
    (
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
        "inbox",
    ),
];

/// Services that run in this process.
pub(crate) const CHAT: &str = "chat";
/// See [`CHAT`].
pub(crate) const NOTIFY: &str = "notify";

/// Where a service in this process "is".
const IN_PROCESS: &str = "http://in-process";

/// Where the page is when it was built in the source tree.
const WEB_DIR: &str = "web/dist";

/// The whole configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The gateway's sections stand at the top level.
    #[serde(flatten)]
    pub gateway: gateway::config::Config,
    /// Where databases and generated secrets are.
    pub data_dir: PathBuf,
    /// Rooms and messages.
    pub chat: ChatConfig,
    /// Notifications.
    pub notify: NotifyConfig,
}

/// Section `chat`: what of chat-service's configuration applies here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatConfig {
    /// Where rooms are stored. The default is a file in `data_dir`.
    pub database: chat_service::config::DatabaseConfig,
}

/// Section `notify`: what of notify-service's configuration applies here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct NotifyConfig {
    /// Where inboxes are stored. The default is a file in `data_dir`.
    pub database: notify_service::config::DatabaseConfig,
    /// As in notify-service.
    #[serde(with = "duration")]
    pub retention: std::time::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway: gateway::config::Config::default(),
            data_dir: PathBuf::from("data"),
            chat: ChatConfig::default(),
            notify: NotifyConfig::default(),
        }
    }
}

impl Default for ChatConfig {
    fn default() -> Self {
        let config = chat_service::Config::default();
        Self {
            database: chat_service::config::DatabaseConfig {
                url: SecretUrl::default(),
                ..config.database
            },
        }
    }
}

impl Default for NotifyConfig {
    fn default() -> Self {
        let config = notify_service::Config::default();
        Self {
            database: notify_service::config::DatabaseConfig {
                url: SecretUrl::default(),
                ..config.database
            },
            retention: config.retention,
        }
    }
}

impl Config {
    /// Reads the configuration and completes it with what Fanfare brings along.
    ///
    /// # Errors
    /// All problems together.
    pub fn load(flags: Flags) -> Result<Self, ConfigError> {
        Self::from_sources(flags.sources())
    }

    /// The same, from anywhere.
    ///
    /// # Errors
    /// All problems together.
    pub fn from_sources(mut sources: Sources) -> Result<Self, ConfigError> {
        let base = BASE.map(|(key, value)| (key.to_owned(), value.to_owned()));
        sources.base.splice(0..0, base);
        let mut config: Self = runtime::config::load(sources)?;
        config.complete();
        Ok(config)
    }

    /// Adds the services that run here, the namespaces that they need and, in
    /// development mode, what makes trying easy. What is configured stays.
    fn complete(&mut self) {
        let data_dir = &self.data_dir;
        set_default_file(&mut self.chat.database.url, data_dir, "chat.db");
        set_default_file(&mut self.notify.database.url, data_dir, "notify.db");

        let gateway = &mut self.gateway;
        gateway.services.push(in_process(CHAT));
        gateway.services.push(in_process(NOTIFY));
        let mut namespaces = vec![room(), inbox()];
        if gateway.development.enabled {
            namespaces.push(public());
            gateway.client.allow_anonymous_connect_without_token = true;
            if gateway.client.allowed_origins.is_empty() {
                gateway.client.allowed_origins.push("*".to_owned());
            }
            // Whoever reaches the port may be anybody: so only this machine does,
            // unless an address is configured.
            if gateway.http_server.address.is_empty() {
                "127.0.0.1".clone_into(&mut gateway.http_server.address);
            }
        }
        let channel = &mut gateway.channel;
        for namespace in namespaces {
            if !channel.namespaces.iter().any(|n| n.name == namespace.name) {
                channel.namespaces.push(namespace);
            }
        }
        if gateway.web.dir.as_os_str().is_empty() && Path::new(WEB_DIR).is_dir() {
            gateway.web.dir = PathBuf::from(WEB_DIR);
        }
    }

    /// The engine that the gateway has, for the services.
    fn engine(&self) -> EngineConfig {
        let engine = &self.gateway.engine;
        EngineConfig {
            kind: match engine.kind {
                gateway::config::EngineType::Memory => EngineType::Memory,
                gateway::config::EngineType::Redis => EngineType::Redis,
            },
            redis: engine.redis.clone(),
        }
    }

    /// The configuration of chat-service.
    #[must_use]
    pub fn chat_service(&self) -> chat_service::Config {
        chat_service::Config {
            database: self.chat.database.clone(),
            engine: self.engine(),
            ..chat_service::Config::default()
        }
    }

    /// The configuration of notify-service.
    #[must_use]
    pub fn notify_service(&self) -> notify_service::Config {
        notify_service::Config {
            database: self.notify.database.clone(),
            retention: self.notify.retention,
            engine: self.engine(),
            ..notify_service::Config::default()
        }
    }
}

/// A service that the gateway finds in this process, by its name.
fn in_process(name: &str) -> ServiceConfig {
    ServiceConfig {
        name: name.to_owned(),
        address: IN_PROCESS.to_owned(),
        ..ServiceConfig::default()
    }
}

/// A database without an address is a file in the data folder.
fn set_default_file(url: &mut SecretUrl, data_dir: &Path, file: &str) {
    if url.is_empty() {
        *url = SecretUrl::new(format!("sqlite://{}", data_dir.join(file).display()));
    }
}

/// Chat rooms.
fn room() -> NamespaceConfig {
    NamespaceConfig {
        name: "room".to_owned(),
        options: ChannelOptions {
            service: CHAT.to_owned(),
            presence: true,
            join_leave: true,
            force_positioning: true,
            force_recovery: true,
            allow_presence_for_subscriber: true,
            allow_history_for_subscriber: true,
            ..with_history()
        },
    }
}

/// Each user's notifications.
fn inbox() -> NamespaceConfig {
    NamespaceConfig {
        name: "inbox".to_owned(),
        options: ChannelOptions {
            service: NOTIFY.to_owned(),
            allow_user_limited_channels: true,
            force_recovery: true,
            ..with_history()
        },
    }
}

/// For trying things, in development mode only: everything goes.
fn public() -> NamespaceConfig {
    NamespaceConfig {
        name: "public".to_owned(),
        options: ChannelOptions {
            presence: true,
            join_leave: true,
            force_positioning: true,
            force_recovery: true,
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            allow_publish_for_client: true,
            allow_publish_for_anonymous: true,
            allow_history_for_client: true,
            allow_history_for_anonymous: true,
            allow_presence_for_client: true,
            allow_presence_for_anonymous: true,
            ..with_history()
        },
    }
}

/// What a reconnecting client finds in the broker without asking a database.
fn with_history() -> ChannelOptions {
    ChannelOptions {
        history_size: 300,
        history_ttl: Timespan::from_secs(24 * 3600),
        ..ChannelOptions::default()
    }
}

impl Schema for Config {
    const UNSUPPORTED: &'static [&'static str] = gateway::config::Config::UNSUPPORTED;

    fn sample() -> Self {
        Self {
            gateway: gateway::config::Config::sample(),
            ..Self::default()
        }
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (i, service) in self.gateway.services.iter().enumerate() {
            if [CHAT, NOTIFY].contains(&&*service.name) {
                let message = format!("{:?} runs in this process: leave it out", service.name);
                problems.push(Problem::new(format!("services[{i}].name"), message));
            }
        }
        if !problems.is_empty() {
            return problems;
        }
        let mut whole = self.clone();
        whole.complete();
        let key = &mut whole.gateway.client.token.hmac_secret_key;
        if key.is_empty() {
            // It is made at the first start.
            *key = Secret::new("-");
        }
        problems.extend(whole.gateway.validate());
        let chat = whole.chat_service().validate();
        let notify = whole.notify_service().validate();
        let chat = chat.into_iter().map(|problem| (CHAT, problem));
        let notify = notify.into_iter().map(|problem| (NOTIFY, problem));
        // The engine is the gateway's, and reported there; the other services are
        // in this process.
        let ours = |p: &Problem| !p.key.starts_with("engine") && !p.key.starts_with("notify");
        problems.extend(
            chat.chain(notify)
                .filter(|(_, p)| ours(p))
                .map(|(section, p)| Problem::new(format!("{section}.{}", p.key), p.message)),
        );
        problems
    }
}

//! Rules between the values of a configuration.

use std::collections::BTreeSet;

use regex::Regex;
use runtime::config::Problem;

use super::{ChannelOptions, Config, EngineType, ServiceConfig, SubscriptionType, TokenConfig};

/// Everything that is wrong, by key.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Problems::default();
    found.http(config);
    found.client(config);
    found.channels(config);
    found.services(config);
    found.rest(config);
    found.0
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::new(key, message));
    }

    /// Adds a problem unless `holds`.
    fn require(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.add(key, message);
        }
    }

    fn regex(&mut self, key: impl Into<String>, pattern: &str) {
        if let Err(error) = Regex::new(pattern) {
            // The first lines draw the pattern; the last says what is wrong.
            let error = error.to_string();
            let what = error.lines().last().unwrap_or_default();
            self.add(key, format!("invalid regular expression: {what}"));
        }
    }

    fn http(&mut self, config: &Config) {
        let server = &config.http_server;
        if server.public().is_err() {
            self.add("http_server.address", "must be an IP address or empty");
        } else if server.internal().is_err() {
            self.add(
                "http_server.internal_address",
                "must be an IP address or empty",
            );
        }
        let tls = &server.tls;
        if tls.enabled {
            if let Err(error) = tls.certificate() {
                self.add(
                    "http_server.tls.cert_pem",
                    format!("cannot be read: {error}"),
                );
            }
            if let Err(error) = tls.key() {
                // The error of reading "a file" whose name is a key must not show it.
                self.add(
                    "http_server.tls.key_pem",
                    format!("cannot be read: {}", error.kind()),
                );
            }
            if let Err(error) = tls.client_ca() {
                self.add(
                    "http_server.tls.client_ca_pem",
                    format!("cannot be read: {error}"),
                );
            }
        }
        for (key, prefix) in [
            ("websocket.handler_prefix", &config.websocket.handler_prefix),
            ("http_api.handler_prefix", &config.http_api.handler_prefix),
            (
                "prometheus.handler_prefix",
                &config.prometheus.handler_prefix,
            ),
            ("health.handler_prefix", &config.health.handler_prefix),
        ] {
            let good = prefix.starts_with('/') && prefix.len() > 1 && !prefix.ends_with('/');
            self.require(good, key, "must begin with / and not end with it");
        }
        let limit = config.websocket.message_size_limit;
        let good = (1024..=64 << 20).contains(&limit);
        self.require(
            good,
            "websocket.message_size_limit",
            "must be 1024 to 67108864",
        );
        let good = !config.websocket.write_timeout.is_zero();
        self.require(good, "websocket.write_timeout", "must be more than 0");
        let good = config.web.dir.as_os_str().is_empty() || config.web.dir.is_dir();
        self.require(good, "web.dir", "is no folder");
    }

    fn client(&mut self, config: &Config) {
        let client = &config.client;
        let pings = !client.ping_interval.is_zero();
        let good = !pings || client.pong_timeout < client.ping_interval;
        self.require(
            good,
            "client.pong_timeout",
            "must be less than client.ping_interval",
        );
        for (key, value) in [
            ("client.stale_close_delay", client.stale_close_delay),
            (
                "client.presence_update_interval",
                client.presence_update_interval,
            ),
        ] {
            self.require(!value.is_zero(), key, "must be more than 0");
        }
        for (key, value) in [
            (
                "client.history_max_publication_limit",
                client.history_max_publication_limit,
            ),
            (
                "client.recovery_max_publication_limit",
                client.recovery_max_publication_limit,
            ),
        ] {
            self.require((1..=100_000).contains(&value), key, "must be 1 to 100000");
        }
        self.require(
            client.channel_limit > 0,
            "client.channel_limit",
            "must be more than 0",
        );
        let good = client.queue_max_size >= 4096;
        self.require(good, "client.queue_max_size", "must be at least 4096 bytes");
        self.token("client.token", &client.token);
        let separate = &client.subscription_token;
        self.token("client.subscription_token", &separate.token);
        let good = !separate.enabled || separate.token.has_keys();
        self.require(
            good,
            "client.subscription_token.enabled",
            "needs a key in the same section",
        );
        let header = &client.user_id_http_header;
        let good = header.is_empty() || http::HeaderName::from_bytes(header.as_bytes()).is_ok();
        self.require(good, "client.user_id_http_header", "is no name of a header");
        for (i, origin) in client.allowed_origins.iter().enumerate() {
            let good = !origin.is_empty() && !origin.contains(char::is_whitespace);
            let key = format!("client.allowed_origins[{i}]");
            self.require(
                good,
                &key,
                "must be a pattern such as https://*.example.com",
            );
        }
        let personal = &client.subscribe_to_user_personal_channel;
        let name = &personal.personal_channel_namespace;
        let key = "client.subscribe_to_user_personal_channel";
        let known = config
            .channel
            .namespaces
            .iter()
            .any(|namespace| namespace.name == *name);
        if personal.enabled && !name.is_empty() && !known {
            let key = format!("{key}.personal_channel_namespace");
            self.add(key, format!("there is no namespace {name:?}"));
        }
        let good = !personal.single_connection || personal.enabled;
        self.require(
            good,
            &format!("{key}.single_connection"),
            "needs enabled = true",
        );
    }

    fn token(&mut self, section: &str, token: &TokenConfig) {
        self.regex(format!("{section}.audience_regex"), &token.audience_regex);
        self.regex(format!("{section}.issuer_regex"), &token.issuer_regex);
        for (name, pem) in [
            ("rsa_public_key", &token.rsa_public_key),
            ("ecdsa_public_key", &token.ecdsa_public_key),
        ] {
            let good = pem.is_empty() || pem.contains("-----BEGIN");
            self.require(
                good,
                &format!("{section}.{name}"),
                "must be a public key in PEM",
            );
        }
        let endpoint = &token.jwks_public_endpoint;
        let good = endpoint.is_empty()
            || endpoint.starts_with("http://")
            || endpoint.starts_with("https://");
        self.require(
            good,
            &format!("{section}.jwks_public_endpoint"),
            "must begin with http",
        );
    }

    fn channels(&mut self, config: &Config) {
        let channel = &config.channel;
        let good = (1..=4096).contains(&channel.max_length);
        self.require(good, "channel.max_length", "must be 1 to 4096");
        let good = !channel.history_meta_ttl.is_zero();
        self.require(good, "channel.history_meta_ttl", "must be more than 0");
        self.options(
            config,
            "channel.without_namespace",
            &channel.without_namespace,
        );

        let mut names = BTreeSet::new();
        for (i, namespace) in channel.namespaces.iter().enumerate() {
            let section = format!("channel.namespaces[{i}]");
            let key = format!("{section}.name");
            let name = &namespace.name;
            if !is_namespace_name(name) {
                self.add(
                    key,
                    "must be two or more of the characters A-Z a-z 0-9 - _ .",
                );
            } else if !names.insert(name) {
                self.add(key, format!("{name:?} is there twice"));
            }
            self.options(config, &section, &namespace.options);
        }
    }

    fn options(&mut self, config: &Config, section: &str, options: &ChannelOptions) {
        let key = |name: &str| format!("{section}.{name}");
        let size = options.history_size > 0;
        let ttl = !options.history_ttl.is_zero();
        if size != ttl {
            let missing = if size { "history_ttl" } else { "history_size" };
            self.add(
                key(missing),
                "history_size and history_ttl must be set together",
            );
        }
        let meta_ttl = options.history_meta_ttl;
        let effective = if meta_ttl.is_zero() {
            config.channel.history_meta_ttl
        } else {
            meta_ttl
        };
        if ttl && effective < options.history_ttl {
            let message = format!("must be at least history_ttl, and is {effective}");
            self.add(key("history_meta_ttl"), message);
        }
        for (name, on) in [
            ("force_recovery", options.force_recovery),
            ("force_positioning", options.force_positioning),
        ] {
            self.require(
                !on || (size && ttl),
                &key(name),
                "needs history_size and history_ttl",
            );
        }
        self.regex(key("channel_regex"), &options.channel_regex);
        let good = options.subscription_type == SubscriptionType::Stream;
        self.require(
            good,
            &key("subscription_type"),
            "only \"stream\" is supported yet",
        );
        let service = &options.service;
        if !service.is_empty() && !config.services.iter().any(|s| s.name == *service) {
            self.add(
                key("service"),
                format!("there is no service {service:?} in services"),
            );
        }
    }

    fn services(&mut self, config: &Config) {
        let mut names = BTreeSet::new();
        for (i, service) in config.services.iter().enumerate() {
            let key = |name: &str| format!("services[{i}].{name}");
            if !is_service_name(&service.name) {
                self.add(
                    key("name"),
                    "must be one or more of the characters A-Z a-z 0-9 - _",
                );
            } else if !names.insert(&service.name) {
                self.add(key("name"), format!("{:?} is there twice", service.name));
            }
            self.service(i, service);
        }
    }

    fn service(&mut self, i: usize, service: &ServiceConfig) {
        let key = |name: &str| format!("services[{i}].{name}");
        let uri = service.address.parse::<http::Uri>();
        let good = uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        self.require(good, &key("address"), "must be http://host:port");
        let good = !service.timeout.is_zero();
        self.require(good, &key("timeout"), "must be more than 0");
        if service.grpc_service().is_none() {
            self.add(
                key("grpc_service"),
                "must name the gRPC service, such as acme.v1.Orders",
            );
        }
        let file = &service.descriptor_file;
        let good = file.as_os_str().is_empty() || file.is_file();
        self.require(good, &key("descriptor_file"), "is no file");
        let key_is_ascii = service
            .shared_key
            .expose()
            .bytes()
            .all(|b| b.is_ascii_graphic());
        self.require(key_is_ascii, &key("shared_key"), "must be visible ASCII");
    }

    fn rest(&mut self, config: &Config) {
        if config.engine.kind == EngineType::Redis
            && let Err(error) = config.engine.redis.check()
        {
            self.add("engine.redis", error.to_string());
        }
        let ratio = config.opentelemetry.sample_ratio;
        let good = (0.0..=1.0).contains(&ratio);
        self.require(good, "opentelemetry.sample_ratio", "must be 0 to 1");
        let shutdown = &config.shutdown;
        self.require(
            !shutdown.timeout.is_zero(),
            "shutdown.timeout",
            "must be more than 0",
        );
        let good = shutdown.delay <= shutdown.timeout;
        self.require(
            good,
            "shutdown.delay",
            "must not be more than shutdown.timeout",
        );
        let good = !config.development.enabled || !config.client.token.hmac_secret_key.is_empty();
        let message = "needs client.token.hmac_secret_key to make tokens with";
        self.require(good, "development.enabled", message);
        let good = !config.rpc.ping.enabled || !config.rpc.ping.method.is_empty();
        self.require(good, "rpc.ping.method", "must not be empty");
    }
}

fn is_namespace_name(name: &str) -> bool {
    name.len() >= 2
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_service_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

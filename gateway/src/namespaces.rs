//! The namespaces of the configuration, prepared for use: which rules a channel
//! follows, by its name.

use std::sync::Arc;
use std::time::Duration;

use broker::HistoryPolicy;
use hashbrown::HashMap;
use regex::Regex;
use wire::ErrorCode;

use crate::channel_name::ChannelName;
use crate::config::{ChannelOptions, Config, OverflowPolicy};
use crate::connection::Overflow;

/// One namespace's rules.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// As configured.
    pub(crate) options: ChannelOptions,
    /// What its channels keep; `None`: nothing.
    pub(crate) history: Option<HistoryPolicy>,
    /// How long a position lives.
    pub(crate) meta_ttl: Duration,
    /// What happens at a full outbox.
    pub(crate) overflow: Overflow,
    /// The service that keeps the logs of its channels and says who may subscribe.
    pub(crate) service: Option<String>,
    regex: Option<Regex>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Namespaces {
    without: Arc<Namespace>,
    named: HashMap<String, Arc<Namespace>>,
    max_length: usize,
}

impl Namespaces {
    /// Prepares the namespaces of a validated configuration.
    ///
    /// # Errors
    /// A regular expression that is none.
    pub(crate) fn new(config: &Config) -> Result<Self, regex::Error> {
        let channel = &config.channel;
        let default_meta_ttl = channel.history_meta_ttl.get();
        let prepare = |options: &ChannelOptions| Namespace::new(options, default_meta_ttl);
        let mut named = HashMap::new();
        for namespace in &channel.namespaces {
            named.insert(
                namespace.name.clone(),
                Arc::new(prepare(&namespace.options)?),
            );
        }
        Ok(Self {
            without: Arc::new(prepare(&channel.without_namespace)?),
            named,
            max_length: channel.max_length,
        })
    }

    /// The rules of a channel; `None`: its namespace is not configured.
    pub(crate) fn of(&self, channel: &str) -> Option<Arc<Namespace>> {
        self.of_name(&ChannelName::parse(channel))
    }

    fn of_name(&self, name: &ChannelName<'_>) -> Option<Arc<Namespace>> {
        match name.namespace {
            None => Some(Arc::clone(&self.without)),
            Some(namespace) => self.named.get(namespace).cloned(),
        }
    }

    /// Checks a name that a client gave, in the order of the protocol: length,
    /// namespace, characters.
    ///
    /// # Errors
    /// 107 or 102, for the client.
    pub(crate) fn check<'a>(
        &self,
        channel: &'a str,
    ) -> Result<(ChannelName<'a>, Arc<Namespace>), ErrorCode> {
        if !self.allows_length(channel) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        self.check_name(channel)
    }

    /// The same without the length, which comes earlier when subscribing.
    pub(crate) fn check_name<'a>(
        &self,
        channel: &'a str,
    ) -> Result<(ChannelName<'a>, Arc<Namespace>), ErrorCode> {
        let name = ChannelName::parse(channel);
        let namespace = self.of_name(&name).ok_or(ErrorCode::UNKNOWN_CHANNEL)?;
        if name.has_characters(namespace.regex.as_ref()) {
            Ok((name, namespace))
        } else {
            Err(ErrorCode::BAD_REQUEST)
        }
    }

    /// Whether a name is short enough.
    pub(crate) fn allows_length(&self, channel: &str) -> bool {
        ChannelName::parse(channel).has_length(self.max_length)
    }
}

impl Namespace {
    fn new(options: &ChannelOptions, default_meta_ttl: Duration) -> Result<Self, regex::Error> {
        let meta_ttl = options.history_meta_ttl.get();
        let meta_ttl = if meta_ttl.is_zero() {
            default_meta_ttl
        } else {
            meta_ttl
        };
        let ttl = options.history_ttl.get();
        let keeps_history = options.history_size > 0 && !ttl.is_zero();
        Ok(Self {
            history: keeps_history.then_some(HistoryPolicy {
                size: options.history_size,
                ttl,
                meta_ttl,
            }),
            meta_ttl,
            overflow: match options.overflow_policy {
                OverflowPolicy::Disconnect => Overflow::Disconnect,
                OverflowPolicy::Drop => Overflow::Drop,
            },
            service: (!options.service.is_empty()).then(|| options.service.clone()),
            regex: match &*options.channel_regex {
                "" => None,
                pattern => Some(Regex::new(pattern)?),
            },
            options: options.clone(),
        })
    }

    /// Whether a client may publish.
    pub(crate) fn may_publish(&self, user: &str, subscribed: bool) -> bool {
        let options = &self.options;
        let anonymous = user.is_empty();
        (options.allow_publish_for_client && (!anonymous || options.allow_publish_for_anonymous))
            || (options.allow_publish_for_subscriber
                && subscribed
                && (!anonymous || options.allow_publish_for_anonymous))
    }

    /// Whether a client may read history.
    pub(crate) fn may_read_history(&self, user: &str, subscribed: bool) -> bool {
        let options = &self.options;
        (options.allow_history_for_client || (options.allow_history_for_subscriber && subscribed))
            && (!user.is_empty() || options.allow_history_for_anonymous)
    }

    /// Whether a client may see who is present.
    pub(crate) fn may_see_presence(&self, user: &str, subscribed: bool) -> bool {
        let options = &self.options;
        (options.allow_presence_for_client || (options.allow_presence_for_subscriber && subscribed))
            && (!user.is_empty() || options.allow_presence_for_anonymous)
    }

    /// Whether a user-limited channel's name lets a user in. Nobody anonymous is
    /// on a list.
    pub(crate) fn admits(&self, name: &ChannelName<'_>, user: &str) -> bool {
        self.options.allow_user_limited_channels && name.allows_user(user)
    }

    /// Whether a client may subscribe without asking anybody.
    pub(crate) fn may_subscribe(&self, user: &str) -> bool {
        let options = &self.options;
        options.allow_subscribe_for_client
            && (!user.is_empty() || options.allow_subscribe_for_anonymous)
    }
}

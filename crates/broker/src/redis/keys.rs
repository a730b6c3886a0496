//! Names of keys and pub/sub channels: the only place that knows them.
//!
//! Every name is `prefix:kind:{.channel}`. What is in the braces is the hash tag,
//! so that in a Cluster all keys of a channel are on one node; the dot keeps it
//! from being empty for a channel that begins with a brace. The prefix holds no
//! brace and the kind no colon, so two prefixes cannot have a name in common.

/// Makes and takes apart the names of one installation.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
    publications: Box<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
            publications: format!("{prefix}:pub:{{.").into(),
        }
    }

    /// Pub/sub channel of a channel's publications, joins and leaves.
    pub(super) fn publications(&self, channel: &str) -> String {
        let mut name = String::with_capacity(self.publications.len() + channel.len() + 1);
        name.push_str(&self.publications);
        name.push_str(channel);
        name.push('}');
        name
    }

    /// The channel whose publications come in this pub/sub channel.
    pub(super) fn channel_of<'a>(&self, publications: &'a [u8]) -> Option<&'a str> {
        let name = std::str::from_utf8(publications).ok()?;
        name.strip_prefix(&*self.publications)?.strip_suffix('}')
    }

    /// Pub/sub channel of control messages for all nodes.
    pub(super) fn control(&self) -> String {
        format!("{}:control", self.prefix)
    }

    /// Pub/sub channel of control messages for one node.
    pub(super) fn node(&self, node: &str) -> String {
        self.name("node", node)
    }

    /// Stream of a channel's publications.
    pub(super) fn history(&self, channel: &str) -> String {
        self.name("history", channel)
    }

    /// Hash of a channel's epoch (`e`), top offset (`s`), version (`v`) and version
    /// epoch (`ve`).
    pub(super) fn meta(&self, channel: &str) -> String {
        self.name("meta", channel)
    }

    /// What a publication with this idempotency key led to.
    pub(super) fn idempotency(&self, channel: &str, key: &str) -> String {
        format!("{}:{key}", self.name("once", channel))
    }

    /// The four keys of a channel's presence, see `presence_common.lua`.
    pub(super) fn presence(&self, channel: &str) -> [String; 4] {
        ["expiry", "infos", "users", "counts"].map(|kind| self.name(kind, channel))
    }

    fn name(&self, kind: &str, channel: &str) -> String {
        let mut name = String::with_capacity(self.prefix.len() + kind.len() + channel.len() + 5);
        // Many are made for each publication: format! would cost ten times as much.
        for part in [&self.prefix, ":", kind, ":{.", channel, "}"] {
            name.push_str(part);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_again_whatever_its_name() {
        let keys = Keys::new("fanfare");
        for channel in ["chat:1", "", "}", "{", "{x}", "ключ", "a:pub:{.b}"] {
            let name = keys.publications(channel);
            assert_eq!(keys.channel_of(name.as_bytes()), Some(channel), "{name}");
        }
        assert_eq!(keys.channel_of(b"fanfare:control"), None);
        assert_eq!(keys.channel_of(b"other:pub:{.chat:1}"), None);
        assert_eq!(keys.channel_of(b"fanfare:pub:{.\xff}"), None);
    }

    #[test]
    fn all_keys_of_a_channel_have_one_hash_tag() {
        // As Redis does it: from the first `{` to the first `}` after it.
        fn tag(key: &str) -> &str {
            let start = key.find('{').unwrap() + 1;
            let end = start + key[start..].find('}').unwrap();
            assert!(end > start, "an empty tag does not count");
            &key[start..end]
        }
        let keys = Keys::new("fanfare");
        for channel in ["chat:1", "", "}", "{", "a}b"] {
            let expected = keys.publications(channel);
            let mut all = keys.presence(channel).to_vec();
            all.push(keys.history(channel));
            all.push(keys.meta(channel));
            all.push(keys.idempotency(channel, "{key}"));
            for key in all {
                assert_eq!(tag(&key), tag(&expected));
            }
        }
    }
}

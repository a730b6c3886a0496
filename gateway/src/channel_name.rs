//! A channel's name taken apart: namespace, privacy, list of users. What the
//! parts permit is decided elsewhere, by the namespace's options.

use regex::Regex;

/// A name that starts with it can be subscribed to with a token only.
const PRIVATE_PREFIX: char = '$';
/// Ends the namespace.
const NAMESPACE_BOUNDARY: char = ':';
/// Begins the list of users.
const USERS_BOUNDARY: char = '#';
/// Stands between users.
const USER_SEPARATOR: char = ',';

/// A channel's name and its parts, borrowed from the command that names it.
///
/// `$namespace:rest#user,user`, where everything but the rest may be missing.
/// Parsing never fails and costs one pass over the name: a name that may not be
/// used is found by `has_length` and `has_characters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChannelName<'a> {
    /// The name as the client wrote it.
    pub(crate) full: &'a str,
    /// What stands before the first `:`, without a leading `$`. `None`: there is
    /// no `:`, and the channel has the options of channels without a namespace.
    /// Empty for a name such as `:a`, which no namespace can have.
    pub(crate) namespace: Option<&'a str>,
    /// What `channel_regex` is matched against: all after the first `:`, or
    /// without a namespace the whole name, a leading `$` included.
    pub(crate) rest: &'a str,
    /// Whether it starts with `$`: a token is required, whatever the options say.
    pub(crate) private: bool,
    /// What stands after the last `#`. `None`: there is no `#`.
    pub(crate) users: Option<Users<'a>>,
}

/// The users that a channel's name lists, separated by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Users<'a>(&'a str);

impl<'a> ChannelName<'a> {
    /// Takes a name apart.
    pub(crate) fn parse(full: &'a str) -> Self {
        let public = full.strip_prefix(PRIVATE_PREFIX);
        let (namespace, rest) = match public.unwrap_or(full).split_once(NAMESPACE_BOUNDARY) {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, full),
        };
        Self {
            full,
            namespace,
            rest,
            private: public.is_some(),
            users: full
                .rsplit_once(USERS_BOUNDARY)
                .map(|(_, users)| Users(users)),
        }
    }

    /// Whether the name lists users, so that only they can subscribe without a
    /// token and no option or proxy can widen that.
    pub(crate) fn is_user_limited(&self) -> bool {
        self.users.is_some()
    }

    /// Whether the name lists this user. Nobody anonymous is on a list.
    pub(crate) fn allows_user(&self, user: &str) -> bool {
        self.users.is_some_and(|users| users.contains(user))
    }

    /// Whether the name is at most `max_length` bytes long. 0: no limit.
    pub(crate) fn has_length(&self, max_length: usize) -> bool {
        max_length == 0 || self.full.len() <= max_length
    }

    /// Whether the namespace's `channel_regex` matches, anywhere in the rest
    /// unless it is anchored. Without one the whole name must be ASCII.
    pub(crate) fn has_characters(&self, channel_regex: Option<&Regex>) -> bool {
        match channel_regex {
            Some(regex) => regex.is_match(self.rest),
            None => self.full.is_ascii(),
        }
    }
}

impl<'a> Users<'a> {
    /// The users in the order of the name. An empty place, as in `#a,,b` or `#`,
    /// is nobody.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.split(USER_SEPARATOR).filter(|user| !user.is_empty())
    }

    /// Whether the user is listed. The anonymous user, whose id is empty, never is.
    pub(crate) fn contains(self, user: &str) -> bool {
        self.iter().any(|listed| listed == user)
    }
}

/// The personal channel of a user, that the server may subscribe its sessions
/// to: `#user`, or `namespace:#user`.
pub(crate) fn personal_channel(namespace: Option<&str>, user: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}{NAMESPACE_BOUNDARY}{USERS_BOUNDARY}{user}"),
        None => format!("{USERS_BOUNDARY}{user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (full, namespace, rest, private, users) in [
            ("news", None, "news", false, None),
            ("", None, "", false, None),
            ("chat:1", Some("chat"), "1", false, None),
            ("chat:", Some("chat"), "", false, None),
            (":1", Some(""), "1", false, None),
            // The first boundary counts.
            ("chat:1:2", Some("chat"), "1:2", false, None),
            ("$chat:1", Some("chat"), "1", true, None),
            // Without a namespace the `$` is part of what the regex sees.
            ("$news", None, "$news", true, None),
            ("$", None, "$", true, None),
            // Only one `$` is a prefix, and only in front.
            ("$$chat:1", Some("$chat"), "1", true, None),
            ("chat:$1", Some("chat"), "$1", false, None),
            ("#42", None, "#42", false, Some(vec!["42"])),
            ("chat:#42", Some("chat"), "#42", false, Some(vec!["42"])),
            (
                "$chat:a#1,2",
                Some("chat"),
                "a#1,2",
                true,
                Some(vec!["1", "2"]),
            ),
            // The last list counts.
            (
                "chat:a#1#2,3",
                Some("chat"),
                "a#1#2,3",
                false,
                Some(vec!["2", "3"]),
            ),
            ("#", None, "#", false, Some(vec![])),
            ("#,1,,", None, "#,1,,", false, Some(vec!["1"])),
            // A boundary inside the list still ends the namespace.
            ("a#b:c", Some("a#b"), "c", false, Some(vec!["b:c"])),
            ("über:grüße", Some("über"), "grüße", false, None),
        ] {
            let name = ChannelName::parse(full);
            assert_eq!(name.full, full);
            assert_eq!(name.namespace, namespace, "{full}");
            assert_eq!(name.rest, rest, "{full}");
            assert_eq!(name.private, private, "{full}");
            let listed = name.users.map(|users| users.iter().collect::<Vec<_>>());
            assert_eq!(listed, users, "{full}");
            assert_eq!(name.is_user_limited(), users.is_some(), "{full}");
        }
    }

    #[test]
    fn only_listed_users_are_allowed() {
        let name = ChannelName::parse("chat:a#1,22,");
        assert!(name.allows_user("1"));
        assert!(name.allows_user("22"));
        for user in ["", "2", "1,22", "a", "#1"] {
            assert!(!name.allows_user(user), "{user}");
        }
        assert!(!ChannelName::parse("chat:a").allows_user("1"));
        assert!(!ChannelName::parse("#").allows_user(""));
    }

    #[test]
    fn length_is_in_bytes_of_the_whole_name() {
        let name = ChannelName::parse("$n:ü");
        assert!(name.has_length(5));
        assert!(!name.has_length(4));
        assert!(name.has_length(0));
    }

    #[test]
    fn characters_are_ascii_unless_a_regex_says_otherwise() {
        let check = |full, regex: Option<&str>| {
            let regex = regex.map(|regex| Regex::new(regex).unwrap());
            ChannelName::parse(full).has_characters(regex.as_ref())
        };
        assert!(check("chat:1", None));
        assert!(!check("chat:ü", None));
        assert!(!check("ü:1", None));
        assert!(check("chat:ü", Some("^[a-zü]+$")));
        // The namespace and its `$` are not matched, the list of users is.
        assert!(check("$chat:12", Some("^[0-9]+$")));
        assert!(!check("chat:12#1", Some("^[0-9]+$")));
        // Without a namespace the whole name is matched.
        assert!(!check("$12", Some("^[0-9]+$")));
        assert!(check("$12", Some(r"^\$[0-9]+$")));
        // Not anchored: anywhere.
        assert!(check("chat:a1", Some("[0-9]")));
    }

    #[test]
    fn personal_channels_are_limited_to_their_user() {
        assert_eq!(personal_channel(None, "42"), "#42");
        assert_eq!(personal_channel(Some("inbox"), "42"), "inbox:#42");
        let name = personal_channel(Some("inbox"), "42");
        assert!(ChannelName::parse(&name).allows_user("42"));
    }
}

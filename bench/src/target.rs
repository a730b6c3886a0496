//! Where connections go: the parts of a URL.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::Context as _;

/// What stands in a URL's path for the name of the channel.
const CHANNEL: &str = "{channel}";

/// An endpoint of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The name that TLS asks for.
    pub name: String,
    /// The value of the header `Host`.
    pub host: String,
    /// Whether TLS is spoken.
    pub secure: bool,
    path: String,
}

impl Target {
    /// Reads `ws://`, `wss://`, `http://` and `https://` addresses.
    ///
    /// # Errors
    ///
    /// When it is no such address, or its name has no address.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = url
            .split_once("://")
            .with_context(|| format!("{url} is no URL"))?;
        let (secure, default_port) = match scheme {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            _ => anyhow::bail!("{url}: only ws, wss, http and https are known"),
        };
        let (host, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (
                name,
                port.parse()
                    .with_context(|| format!("{url}: {port} is no port"))?,
            ),
            _ => (host, default_port),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let address = (name, port)
            .to_socket_addrs()
            .with_context(|| format!("{url}: {name} has no address"))?
            .next()
            .with_context(|| format!("{url}: {name} has no address"))?;
        Ok(Self {
            address,
            name: name.to_owned(),
            host: host.to_owned(),
            secure,
            path: path.to_owned(),
        })
    }

    /// The path, with the name of the channel where it belongs.
    #[must_use]
    pub fn path(&self, channel: &str) -> String {
        self.path.replace(CHANNEL, channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_address_are_found() {
        let target = Target::parse("ws://127.0.0.1:8000/a?b={channel}").expect("it is valid");
        assert_eq!(target.address, "127.0.0.1:8000".parse().expect("valid"));
        assert_eq!(target.host, "127.0.0.1:8000");
        assert_eq!(target.path("c"), "/a?b=c");
        assert!(!target.secure);
        let target = Target::parse("wss://[::1]").expect("it is valid");
        assert_eq!(target.address, "[::1]:443".parse().expect("valid"));
        assert_eq!((target.path("c"), target.secure), ("/".to_owned(), true));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "127.0.0.1", "ftp://127.0.0.1/", "ws://127.0.0.1:x/"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}

//! What an operator should change about a Redis.

use redis::Cmd;

use super::publisher::Publisher;

const OLDEST: (u32, u32) = (6, 2);

/// A smaller hard limit disconnects a node at a moment's burst.
const MIN_PUBSUB_BUFFER: u64 = 32 * 1024 * 1024;

pub(super) async fn advise(publisher: &Publisher) -> Vec<String> {
    let mut advice = Vec::new();
    let info: String = match publisher
        .command(Cmd::new().arg("INFO").arg("server"))
        .await
    {
        Ok(info) => info,
        Err(crate::Error::Unavailable(cause)) => {
            return vec![format!("redis is not reachable: {cause}")];
        }
        Err(_) => String::new(),
    };
    advice.extend(about_version(&info));
    let maxmemory = setting(publisher, "maxmemory").await;
    let policy = setting(publisher, "maxmemory-policy").await;
    advice.extend(about_memory(&maxmemory, &policy));
    let limits = setting(publisher, "client-output-buffer-limit").await;
    advice.extend(about_buffers(&limits));
    advice
}

/// A setting's value; empty if it may not be read.
async fn setting(publisher: &Publisher, name: &str) -> String {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let pairs: Vec<(String, String)> = publisher.command(&command).await.unwrap_or_default();
    pairs
        .into_iter()
        .next()
        .map_or_else(String::new, |pair| pair.1)
}

fn about_version(info: &str) -> Option<String> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    if field("valkey_version:").is_some() {
        return None;
    }
    let version = field("redis_version:")?;
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let version_number = (parts.next()?, parts.next().unwrap_or(0));
    (version_number < OLDEST).then(|| format!("redis {version} is too old: 6.2 is the oldest"))
}

fn about_memory(maxmemory: &str, policy: &str) -> Option<String> {
    let limited = maxmemory.parse().unwrap_or(0_u64) > 0;
    (limited && !policy.is_empty() && policy != "noeviction").then(|| {
        format!(
            "maxmemory-policy is {policy}: redis may evict positions and presence, so that \
             clients cannot recover; use noeviction and enough memory"
        )
    })
}

fn about_buffers(limits: &str) -> Option<String> {
    let mut words = limits.split_whitespace();
    words.find(|word| *word == "pubsub")?;
    let hard: u64 = words.next()?.parse().ok()?;
    (hard > 0 && hard < MIN_PUBSUB_BUFFER).then(|| {
        format!(
            "client-output-buffer-limit for pubsub is {hard} bytes: redis will disconnect nodes \
             at bursts; use at least 32mb"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_named() {
        assert_eq!(about_version("# Server\r\nredis_version:7.0.15\r\n"), None);
        assert_eq!(about_version("redis_version:6.2.0\r\n"), None);
        assert!(about_version("redis_version:6.0.16\r\n").is_some());
        let valkey = "redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n";
        assert_eq!(about_version(valkey), None);
        assert_eq!(about_version(""), None);
    }

    #[test]
    fn eviction_matters_only_with_a_limit() {
        assert_eq!(about_memory("0", "allkeys-lru"), None);
        assert_eq!(about_memory("1000", "noeviction"), None);
        assert!(about_memory("1000", "volatile-ttl").is_some());
        assert_eq!(about_memory("", ""), None);
    }

    #[test]
    fn small_buffers_are_named() {
        let default = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(about_buffers(default), None);
        assert_eq!(about_buffers("pubsub 0 0 0"), None);
        assert!(about_buffers("pubsub 1048576 0 0").is_some());
        assert_eq!(about_buffers(""), None);
    }
}

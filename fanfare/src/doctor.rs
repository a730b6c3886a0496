//! Looks for what would hold Fanfare back on this machine.

use std::fmt;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use broker::RedisBroker;
use gateway::config::EngineType;
use runtime::config::SecretUrl;
use service::Database;

use crate::config::Config;
use crate::credentials::{API_KEY, TOKEN_KEY};

/// How long a database or Redis may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Fewer open files than this end a node at a handful of clients.
const FEW_FILES: u64 = 10_000;
/// A shorter queue of connections to be accepted drops clients that all come at once.
const SHORT_QUEUE: u64 = 4_096;

/// What was looked at and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    verdict: Verdict,
    what: &'static str,
    seen: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Advice,
    Failure,
}

impl Finding {
    fn good(what: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Good, what, seen)
    }

    fn advice(what: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Advice, what, seen)
    }

    fn failure(what: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Failure, what, seen)
    }

    fn new(verdict: Verdict, what: &'static str, seen: impl Into<String>) -> Self {
        let seen = seen.into();
        Self {
            verdict,
            what,
            seen,
        }
    }

    /// Whether Fanfare would not work.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.verdict == Verdict::Failure
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "ok    ",
            Verdict::Advice => "advice",
            Verdict::Failure => "FAIL  ",
        };
        write!(f, "{verdict}  {}: {}", self.what, self.seen)
    }
}

/// Looks at everything; takes some seconds when something does not answer.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![open_files(), accept_queue(), port(config)];
    findings.push(data_dir(config));
    findings.extend(secrets(config));
    findings.push(page(config));
    findings.push(chat_database(config).await);
    findings.push(notify_database(config).await);
    findings.extend(engine(config).await);
    if config.gateway.development.enabled {
        findings.push(Finding::advice(
            "development mode",
            "is on: anybody may sign in by a name alone (development.enabled)",
        ));
    }
    findings
}

fn open_files() -> Finding {
    let what = "open files";
    match runtime::process::raise_nofile_limit() {
        None => Finding::good(what, "no limit"),
        Some(n) if n >= FEW_FILES => Finding::good(what, format!("{n}")),
        Some(n) => Finding::advice(
            what,
            format!("only {n}, one per connection: raise the hard limit (ulimit -Hn)"),
        ),
    }
}

fn accept_queue() -> Finding {
    let what = "net.core.somaxconn";
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    match text.trim().parse::<u64>() {
        Ok(n) if n >= SHORT_QUEUE => Finding::good(what, format!("{n}")),
        Ok(n) => Finding::advice(what, format!("{n}: at least {SHORT_QUEUE} is better")),
        Err(_) => Finding::advice(what, "not readable here"),
    }
}

fn port(config: &Config) -> Finding {
    let what = "http_server.port";
    match config.gateway.http_server.public() {
        Err(error) => Finding::failure(what, error.to_string()),
        Ok(address) => match TcpListener::bind(address) {
            Ok(_) => Finding::good(what, format!("{address} is free")),
            Err(error) => Finding::failure(what, format!("{address}: {error}")),
        },
    }
}

fn data_dir(config: &Config) -> Finding {
    let what = "data_dir";
    let folder = &config.data_dir;
    let shown = folder.display();
    if !folder.exists() {
        return Finding::good(what, format!("{shown} will be made"));
    }
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"");
    // It may not be there, and then there is nothing to remove.
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => Finding::good(what, format!("{shown} can be written")),
        Err(error) => Finding::failure(what, format!("{shown}: {error}")),
    }
}

fn secrets(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, name) in [
        ("key of tokens", TOKEN_KEY),
        ("key of the server API", API_KEY),
    ] {
        let path = config.data_dir.join(name);
        let Ok(metadata) = path.metadata() else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        findings.push(if mode & 0o077 == 0 {
            Finding::good(what, format!("{}", path.display()))
        } else {
            let fix = format!("chmod 600 {}", path.display());
            Finding::advice(what, format!("others may read it: {fix}"))
        });
    }
    findings
}

fn page(config: &Config) -> Finding {
    let what = "web.dir";
    let folder = &config.gateway.web.dir;
    if folder.join("index.html").is_file() {
        Finding::good(what, format!("{}", folder.display()))
    } else {
        Finding::advice(what, "no web page: it is built with Node.js")
    }
}

async fn chat_database(config: &Config) -> Finding {
    let url = config.chat.database.url.expose();
    database("chat.database", &config.chat.database.url, async {
        let database = Database::new(url, 1)?;
        let store = chat_service::store::open(&database).map_err(|error| error.to_string())?;
        let missing = store.missing_tables().await;
        judge(
            &missing.map_err(|error| error.to_string())?,
            config.chat.database.migrate,
        )
    })
    .await
}

async fn notify_database(config: &Config) -> Finding {
    let url = config.notify.database.url.expose();
    database("notify.database", &config.notify.database.url, async {
        let database = Database::new(url, 1)?;
        let store = notify_service::store::open(&database).map_err(|error| error.to_string())?;
        let missing = store.missing_tables().await;
        judge(
            &missing.map_err(|error| error.to_string())?,
            config.notify.database.migrate,
        )
    })
    .await
}

/// Tables that are missing do no harm where they are made at start.
fn judge(missing: &[String], migrate: bool) -> Result<(), String> {
    if missing.is_empty() || migrate {
        return Ok(());
    }
    Err(format!(
        "it lacks the tables {}, and database.migrate is false",
        missing.join(", ")
    ))
}

async fn database(
    what: &'static str,
    url: &SecretUrl,
    look: impl Future<Output = Result<(), String>>,
) -> Finding {
    let shown = url.masked();
    if let Some(file) = url.expose().strip_prefix("sqlite://")
        && !std::path::Path::new(file).exists()
    {
        return Finding::good(what, format!("{shown} will be made"));
    }
    match tokio::time::timeout(TIMEOUT, look).await {
        Ok(Ok(())) => Finding::good(what, format!("{shown} answers")),
        Ok(Err(error)) => Finding::failure(what, format!("{shown}: {error}")),
        Err(_) => Finding::failure(what, format!("{shown} does not answer")),
    }
}

async fn engine(config: &Config) -> Vec<Finding> {
    let what = "engine";
    let engine = &config.gateway.engine;
    if engine.kind == EngineType::Memory {
        return vec![Finding::good(what, "memory: for one process")];
    }
    let redis = match RedisBroker::new(engine.redis.clone()) {
        Ok(redis) => redis,
        Err(error) => return vec![Finding::failure(what, error.to_string())],
    };
    match tokio::time::timeout(TIMEOUT, redis.advise()).await {
        // Everything else that it says is about settings of a Redis that answers.
        Ok(advice) if advice.iter().any(|a| a.contains("not reachable")) => {
            vec![Finding::failure("engine.redis", advice.join("; "))]
        }
        Ok(advice) if advice.is_empty() => vec![Finding::good(what, "Redis is well set up")],
        Ok(advice) => advice
            .into_iter()
            .map(|advice| Finding::advice("engine.redis", advice))
            .collect(),
        Err(_) => vec![Finding::failure(what, "Redis does not answer")],
    }
}

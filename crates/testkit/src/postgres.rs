//! A PostgreSQL database for each test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::OnceCell;

/// The server that all databases of this process share, started when the first asks.
static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();

/// An empty database of a test's own, dropped with this value.
///
/// All of a process are in one private server, which does not wait for the disk and
/// ends with the process.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    psql: Psql,
}

impl TestDatabase {
    /// Creates a database.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start; the message helps.
    pub async fn new() -> Self {
        let server = SHARED.get_or_init(PostgresServer::start).await;
        server.database().await
    }

    /// Where it is, as in `postgres://postgres@127.0.0.1:12345/test_1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Executes SQL and returns what `psql` prints, unaligned and without headers.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn sql(&self, sql: &str) -> String {
        let (psql, name, sql) = (self.psql.clone(), self.name.clone(), sql.to_owned());
        blocking(move || psql.run(&name, &sql)).await.expect("psql")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // The server may have been stopped by the test: then it is gone anyway.
        let drop = format!("drop database if exists {} with (force)", self.name);
        let _ = self.psql.run("postgres", &drop);
    }
}

/// A private PostgreSQL server on a free port of 127.0.0.1, for tests that stop or
/// freeze it. Ends with this value, and with the process even if that is killed.
///
/// It survives [`stop`](Self::stop) as a real one survives a crash of the process:
/// what was committed is there after [`restart`](Self::restart).
#[derive(Debug)]
pub struct PostgresServer {
    psql: Psql,
    dir: PathBuf,
    process: Option<Child>,
    /// A shell that waits for the end of its standard input, which is ours, and then
    /// kills the server and removes its files.
    watchdog: Child,
    durability: Durability,
    n_databases: AtomicU32,
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug)]
enum Durability {
    /// The page cache, which outlives a crash of the process: all that tests crash.
    Process,
    /// The disk, as by default.
    Machine,
}

impl PostgresServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start; the message helps.
    pub async fn start() -> Self {
        Self::start_with(Durability::Process).await
    }

    /// Starts a server whose commits wait for the disk, as a real one's do: for
    /// measuring.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn durable() -> Self {
        Self::start_with(Durability::Machine).await
    }

    async fn start_with(durability: Durability) -> Self {
        blocking(move || Self::start_blocking(durability))
            .await
            .expect("a PostgreSQL server")
    }

    /// Creates a database, dropped with the value that is returned.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn database(&self) -> TestDatabase {
        let number = self.n_databases.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("test_{number}");
        let (psql, create) = (self.psql.clone(), format!("create database {name}"));
        blocking(move || psql.run("postgres", &create))
            .await
            .expect("create database");
        TestDatabase {
            url: format!("postgres://postgres@127.0.0.1:{}/{name}", self.psql.port),
            name,
            psql: self.psql.clone(),
        }
    }

    /// The server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.psql.port
    }

    /// Kills it at once with all its processes, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Frozen first, so that nothing is forked while we look.
            let processes = family(process.id());
            signal("-STOP", &processes);
            signal("-KILL", &family(process.id()));
            let _ = process.wait();
            // The watchdog must not kill whoever has that number then.
            let _ = fs::remove_file(self.dir.join("data/postmaster.pid"));
        }
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.stop();
        let (psql, dir, durability) = (self.psql.clone(), self.dir.clone(), self.durability);
        let process = blocking(move || spawn(&psql, &dir, durability)).await;
        self.process = Some(process.expect("PostgreSQL starts again"));
    }

    /// Freezes it: connections stay open, nothing is answered.
    pub fn pause(&self) {
        let process = self.process.as_ref().expect("PostgreSQL runs");
        signal("-STOP", &family(process.id()));
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        let process = self.process.as_ref().expect("PostgreSQL runs");
        signal("-CONT", &family(process.id()));
    }

    fn start_blocking(durability: Durability) -> Result<Self> {
        let bin = bin_dir()?;
        let dir = tempfile::Builder::new()
            .prefix("fanfare-pg-")
            .tempdir()?
            .keep();
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .spawn()
            .context("sh")?;
        if let Some(user) = other_user() {
            run(Command::new("chown").arg(user).arg(&dir))?;
        }
        run(unprivileged(&bin.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
                "-D",
            ])
            .arg(dir.join("data"))
            .current_dir(&dir))?;
        // The port may be taken between finding it and PostgreSQL binding it.
        let mut attempts = 0;
        loop {
            let psql = Psql {
                bin: bin.clone(),
                port: lasting_port()?,
            };
            match spawn(&psql, &dir, durability) {
                Ok(process) => {
                    return Ok(Self {
                        psql,
                        dir,
                        process: Some(process),
                        watchdog,
                        durability,
                        n_databases: AtomicU32::new(0),
                    });
                }
                Err(error) if attempts == 4 => return Err(error),
                Err(_) => attempts += 1,
            }
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

const WATCHDOG: &str = r#"
cat > /dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
if [ -n "$pid" ]; then
    kill -QUIT "$pid" 2> /dev/null; kill -CONT "$pid" 2> /dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2> /dev/null || break; sleep 0.2; done
fi
rm -rf "$1"
"#;

/// The command-line client, and through it the one way to ask the server.
#[derive(Clone, Debug)]
struct Psql {
    bin: PathBuf,
    port: u16,
}

impl Psql {
    fn run(&self, database: &str, sql: &str) -> Result<String> {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-XqAt",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
            ])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env("PGCONNECT_TIMEOUT", "5")
            .stdin(Stdio::null())
            .output()
            .context("psql")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {}", error.trim());
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }
}

fn spawn(psql: &Psql, dir: &Path, durability: Durability) -> Result<Child> {
    let log = fs::File::create(dir.join("log"))?;
    let settings: &[&str] = match durability {
        Durability::Process => &[
            "-c",
            "fsync=off",
            "-c",
            "full_page_writes=off",
            "-c",
            "shared_buffers=32MB",
        ],
        Durability::Machine => &[],
    };
    let mut process = unprivileged(&psql.bin.join("postgres"))
        .arg("-D")
        .arg(dir.join("data"))
        .arg("-k")
        .arg(dir)
        .args(["-h", "127.0.0.1", "-p", &psql.port.to_string()])
        .args(settings)
        .args(["-c", "max_connections=300", "-c", "timezone=UTC"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("postgres")?;
    let started = Instant::now();
    loop {
        let Err(error) = psql.run("postgres", "select 1") else {
            return Ok(process);
        };
        let ended = process.try_wait()?;
        if ended.is_some() || started.elapsed() > Duration::from_secs(30) {
            let _ = process.kill();
            let _ = process.wait();
            let _ = fs::remove_file(dir.join("data/postmaster.pid"));
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            bail!("PostgreSQL does not start: {error:#}: {}", log.trim());
        }
        // This is a blocking thread, polling another process.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A free port that nobody gets who asks for any: a server that was stopped must find
/// it free when it is started again.
fn lasting_port() -> Result<u16> {
    // Below what Linux gives away (32768), and apart for processes at the same time.
    const PORTS: std::ops::Range<u32> = 16_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    for _ in PORTS {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

/// Where `initdb`, `postgres` and `psql` are: in the path, or where distributions put
/// them.
fn bin_dir() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let distributed = versions.into_iter().rev().map(|(_, dir)| dir);
    in_path
        .into_iter()
        .chain(distributed)
        .find(|dir| {
            ["initdb", "postgres", "psql"]
                .iter()
                .all(|tool| dir.join(tool).exists())
        })
        .context("PostgreSQL is not installed? try: apt-get install postgresql")
}

/// PostgreSQL refuses to run as root: then it runs as this user.
fn other_user() -> Option<&'static str> {
    let id = |args: &[&str]| Command::new("id").args(args).output().ok();
    let root = id(&["-u"]).is_some_and(|output| output.stdout.trim_ascii() == b"0");
    let exists = |user: &&str| id(&["-u", user]).is_some_and(|output| output.status.success());
    root.then(|| ["postgres", "nobody"].into_iter().find(exists))
        .flatten()
}

fn unprivileged(program: &Path) -> Command {
    let Some(user) = other_user() else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            user,
            "--regid",
            if user == "nobody" { "nogroup" } else { user },
        ])
        .arg("--clear-groups")
        .arg(program);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", error.trim());
    Ok(())
}

/// A process and its children.
fn family(parent: u32) -> Vec<u32> {
    let children = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &parent.to_string()])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    std::iter::once(parent).chain(children).collect()
}

fn signal(signal: &str, processes: &[u32]) {
    // One of them may have ended by itself meanwhile.
    let _ = Command::new("kill")
        .arg(signal)
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("it does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crash_loses_nothing_that_was_committed() {
        let mut server = PostgresServer::start().await;
        let database = server.database().await;
        database
            .sql("create table t (n int); insert into t values (7)")
            .await;
        server.stop();
        server.restart().await;
        assert_eq!(database.sql("select n from t").await, "7");
        let dir = server.dir.clone();
        drop(server);
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn databases_are_apart() {
        let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
        one.sql("create table t (n int)").await;
        other.sql("create table t (n int)").await;
        assert_eq!(other.sql("select count(*) from t").await, "0");
    }
}

//! A Redis server of one's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A private `redis-server` on a free port, killed when it is dropped.
///
/// It keeps its data in memory only: after [`stop`](Self::stop) and
/// [`restart`](Self::restart) it is empty, unless started with
/// [`durable`](Self::durable).
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    args: Vec<String>,
    dir: tempfile::TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// If `redis-server` is not installed or does not start; the message helps.
    pub async fn start() -> Self {
        Self::with_args(&[]).await
    }

    /// Starts a server whose data survives [`stop`](Self::stop).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn durable() -> Self {
        Self::with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// Starts a server with further arguments, as in `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn with_args(args: &[&str]) -> Self {
        // The port may be taken between finding it and Redis binding it.
        for attempt in 0.. {
            let mut server = Self {
                port: free_port().expect("a free port"),
                args: args.iter().map(|&a| a.to_owned()).collect(),
                dir: tempfile::tempdir().expect("a temporary directory"),
                process: None,
            };
            match server.spawn().await {
                Ok(()) => return server,
                Err(error) if attempt == 4 => panic!("redis-server: {error:#}"),
                Err(_) => {}
            }
        }
        unreachable!("the loop ends by itself");
    }

    /// The server's address, as in `redis://127.0.0.1:12345`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of its process; `None` while it is stopped.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The server's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Kills it at once, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same port after [`stop`](Self::stop), and waits until
    /// it answers.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) {
        self.stop();
        self.spawn().await.expect("redis-server starts again");
    }

    /// Freezes it: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Deletes everything in it, including scripts.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn flush(&self) {
        self.command("FLUSHALL").await;
        self.command("SCRIPT FLUSH").await;
    }

    /// Sends one inline command, as in `CLIENT KILL TYPE pubsub`, and returns the
    /// beginning of the answer as it is on the wire.
    ///
    /// # Panics
    /// If it does not answer within five seconds.
    pub async fn command(&self, command: &str) -> String {
        let answer = tokio::time::timeout(Duration::from_secs(5), ask(self.port, command));
        let answer = answer.await.expect("redis-server answers in time");
        answer.expect("redis-server answers")
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("redis-server runs");
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status();
        assert!(status.is_ok_and(|s| s.success()), "kill {signal} works");
    }

    async fn spawn(&mut self) -> Result<()> {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--unixsocket", "redis.sock", "--loglevel", "warning"])
            .args(["--enable-debug-command", "local"])
            .args(&self.args)
            .arg("--dir")
            .arg(self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("it is not installed? try: apt-get install redis-server")?;
        let process = self.process.insert(process);
        let started = Instant::now();
        loop {
            if let Some(status) = process.try_wait()? {
                bail!("it ended with {status}");
            }
            // Any answer will do: it may ask for a password. While it reads its
            // data it says LOADING.
            if let Ok(answer) = ask(self.port, "PING").await
                && !answer.starts_with("-LOADING")
            {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(10) {
                bail!("it does not answer");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut answer = vec![0; 16 * 1024];
    let n = stream.read(&mut answer).await?;
    answer.truncate(n);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

//! A server as a process.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use testkit::eventually;

use crate::{DEADLINE, http};

/// How many of the last lines of its log are shown when a test fails.
const SHOWN_LINES: usize = 40;

/// A server process with a log file and a readiness probe. Killed when it is dropped; if
/// that is because a test fails, the end of its log is printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    dir: PathBuf,
    probe: String,
    child: Option<Child>,
}

impl Process {
    /// A process that is not started yet. Its working folder, with its log file, is
    /// `dir`; it is ready when `probe`, an `http://…` address, answers 200.
    pub(crate) fn new(name: &str, program: &Path, dir: &Path, probe: String) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: dir.to_owned(),
            probe,
            child: None,
        }
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Puts a variable into its environment at the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable out of its environment at the next start.
    pub fn unset(&mut self, name: &str) {
        self.env.retain(|(set, _)| set != name);
    }

    /// Replaces its program at the next start.
    pub fn set_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Starts it, without waiting for it.
    ///
    /// # Panics
    /// If the program cannot be run, or runs already.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = self.log();
        let child = Command::new(&self.program)
            .args(&self.args)
            // The surroundings of the test are not its configuration.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        self.child = Some(child);
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it ends, or is not ready in time.
    pub async fn start(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// If it ends, or is not ready in time.
    pub async fn ready(&mut self) {
        let started = Instant::now();
        while http::get(&self.probe).await.is_none_or(|r| r.status != 200) {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{} ended: {ended:?}", self.name);
            assert!(
                started.elapsed() < DEADLINE,
                "{} is not ready: {:?}",
                self.name,
                http::get(&self.probe).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Allows it so many more open descriptors than it has now.
    ///
    /// # Panics
    /// If it does not run, or the system does not let us.
    pub fn leave_descriptors(&self, n: usize) {
        let id = self.child.as_ref().expect("it runs").id();
        let open = fs::read_dir(format!("/proc/{id}/fd")).expect("its descriptors");
        let status = Command::new("prlimit")
            .arg(format!("--pid={id}"))
            .arg(format!("--nofile={}:", open.count() + n))
            .status();
        assert!(status.is_ok_and(|status| status.success()), "prlimit works");
    }

    /// Waits until it logs something.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn logs(&self, text: &str) {
        eventually(DEADLINE, async || {
            fs::read_to_string(self.log_path()).is_ok_and(|log| log.contains(text))
        })
        .await;
    }

    /// Kills it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it at once, starts it again and waits until it is ready.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn terminate(&mut self) -> ExitStatus {
        let child = self.child.as_ref().expect("it runs");
        let kill = Command::new("kill").arg(child.id().to_string()).status();
        assert!(kill.is_ok_and(|status| status.success()), "kill works");
        self.ended().await
    }

    /// Waits until it has ended of its own accord.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it was started");
        let mut status = None;
        eventually(DEADLINE, async || {
            status = child.try_wait().expect("a child can be asked");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    fn log(&self) -> File {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path());
        log.expect("a log file")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log_path()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            #[expect(clippy::print_stderr, reason = "a test fails: this helps")]
            {
                eprintln!("--- {}\n{}", self.name, shown.join("\n"));
            }
        }
    }
}

//! A child process with a log file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A server answers within this time after its start.
const START: Duration = Duration::from_secs(30);
/// How much of its log is shown when it does not.
const SHOWN_LINES: usize = 20;

/// A process that ends, with all that it has started, when this value is dropped. Where
/// the system can, it also ends when the process that started it is killed.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a program in a folder; what it prints goes to a file therein.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn start(name: &str, program: &Path, arguments: &[String], dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("{}", log.display()))?;
        let mut command = dying_with_us(program);
        let process = command
            .args(arguments)
            .current_dir(dir)
            // Our surroundings are not its configuration.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
        })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until a port of 127.0.0.1 is open.
    ///
    /// # Errors
    /// If the process ends before, or takes too long.
    pub fn wait_for_port(&mut self, port: u16) -> Result<()> {
        self.wait_until(|| connect(port).is_some())
    }

    /// Waits until a path answers 200, over plain HTTP.
    ///
    /// # Errors
    /// As [`wait_for_port`](Self::wait_for_port).
    pub fn wait_for_answer(&mut self, port: u16, path: &str) -> Result<()> {
        self.wait_until(|| answers(port, path).unwrap_or(false))
    }

    fn wait_until(&mut self, mut is_ready: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_ready() {
            if let Some(status) = self.process.try_wait()? {
                bail!("{} ended ({status}): {}", self.name, self.end_of_log());
            }
            if started.elapsed() > START {
                bail!("{} does not answer: {}", self.name, self.end_of_log());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let children = descendants(self.process.id());
        let _ = self.process.kill();
        let _ = self.process.wait();
        for child in children {
            // It may have ended with its parent.
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

/// A command for a program that is killed when we are: util-linux sees to it, if it is
/// there.
pub(super) fn dying_with_us(program: &Path) -> Command {
    if super::tools::find("setpriv").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port of 127.0.0.1 on which nobody listens.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn connect(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    Some(stream)
}

fn answers(port: u16, path: &str) -> Option<bool> {
    let mut stream = connect(port)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).ok()?;
    Some(status.ends_with(b" 200"))
}

/// The processes that a process has started, and theirs.
fn descendants(parent: u32) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut parents = vec![parent];
    while let Some(parent) = parents.pop() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            parents.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
        found.extend(
            parents
                .last()
                .and_then(|&id| Pid::from_raw(i32::try_from(id).ok()?)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & sleep 1000 & wait".to_owned();
        let child = Child::start(
            "sh",
            Path::new("sh"),
            &["-c".to_owned(), script],
            dir.path(),
        );
        let child = child.unwrap();
        let started = Instant::now();
        let mut children = Vec::new();
        while children.len() < 2 {
            assert!(started.elapsed() < START);
            children = descendants(child.id());
        }
        drop(child);
        for child in children {
            let id = child.as_raw_nonzero();
            let is_gone = || {
                // Whoever adopts it may take a moment to bury it.
                let status = fs::read_to_string(format!("/proc/{id}/stat"));
                status.map_or(true, |status| status.contains(") Z "))
            };
            while !is_gone() {
                assert!(started.elapsed() < START);
            }
        }
    }

    #[test]
    fn a_process_that_ends_early_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let arguments = ["-c".to_owned(), "echo no such luck; exit 3".to_owned()];
        let mut child = Child::start("sh", Path::new("sh"), &arguments, dir.path()).unwrap();
        let error = child.wait_for_port(1).unwrap_err().to_string();
        assert!(error.contains("no such luck"), "{error}");
    }
}

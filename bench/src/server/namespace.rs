//! A network of one's own.
//!
//! On a machine in use, loopback traffic passes connection tracking and packet filters, and
//! the congestion control is whatever somebody chose. In a network namespace there is
//! nothing of this. A trial enters a new one together with its server, the load generator
//! and all that stands behind, and a new process namespace too, so that nothing of it
//! outlives it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::child::dying_with_us;
use super::tools::find;

/// Where trials run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Each in namespaces of its own.
    Own,
    /// On the loopback interface of the machine, with all that is configured there.
    Shared,
}

impl Network {
    /// The best that this system allows to this user.
    #[must_use]
    pub fn available() -> Self {
        let mut probe = unshared(Path::new("ip"));
        let output = Stdio::null;
        probe
            .args(["link", "set", "lo", "up"])
            .stdout(output())
            .stderr(output());
        match find("ip").is_some() && probe.status().is_ok_and(|status| status.success()) {
            true => Self::Own,
            false => Self::Shared,
        }
    }

    /// A command for a program that runs there. It has to call [`prepare`] in a network of
    /// its own.
    #[must_use]
    pub fn command(self, program: &Path) -> Command {
        match self {
            Self::Own => unshared(program),
            Self::Shared => dying_with_us(program),
        }
    }
}

fn unshared(program: &Path) -> Command {
    let mut command = dying_with_us(Path::new("unshare"));
    command
        .args([
            "--net",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "--",
        ])
        .arg(program);
    command
}

/// Makes a new network usable: loopback up, a congestion control that loopback suits, long
/// queues of connections that wait to be accepted.
///
/// # Errors
/// If the interface does not come up.
pub fn prepare() -> Result<()> {
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    ensure!(up.context("ip")?.success(), "loopback does not come up");
    let ipv4 = Path::new("/proc/sys/net/ipv4");
    // One that is available may still be refused to any namespace but the machine's.
    let congestion = ipv4.join("tcp_congestion_control");
    let _ = ["cubic", "reno"]
        .into_iter()
        .find(|name| fs::write(&congestion, name).is_ok());
    set(&ipv4.join("tcp_max_syn_backlog"), "65535");
    set(&ipv4.join("ip_local_port_range"), "10000 65535");
    set(Path::new("/proc/sys/net/core/somaxconn"), "65535");
    Ok(())
}

/// What cannot be set stays as it is: it is the same for all servers.
fn set(path: &Path, value: &str) {
    let _ = fs::write(path, value);
}

//! Where and how a ladder ran.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use super::results::Conditions;
use super::scale::Scale;
use crate::server::Tools;
use crate::server::namespace::Network;

/// The conditions of a ladder that begins now: no round has been measured.
pub(super) fn now(scale: Scale, network: Network, tools: &Tools) -> Conditions {
    let since_epoch = SystemTime::now();
    let profile = tools
        .binaries
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Conditions {
        date: humantime::format_rfc3339_seconds(since_epoch).to_string(),
        command: command(),
        quick: scale != Scale::Full,
        rounds: 0,
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_gib: memory_gib(),
        kernel: read("/proc/sys/kernel/osrelease").map_or_else(unknown, |it| format!("Linux {it}")),
        system: field("/etc/os-release", "PRETTY_NAME")
            .map_or_else(unknown, |name| name.trim_matches('"').to_owned()),
        network: match network {
            Network::Own => "each trial in network and process namespaces of its own, without \
                             connection tracking"
                .to_owned(),
            Network::Shared => "the machine's own loopback interface, with whatever is configured \
                                there: figures may be distorted"
                .to_owned(),
        },
        commit: commit(tools).unwrap_or_else(unknown),
        profile: profile.unwrap_or_else(unknown),
        load: read("/proc/loadavg")
            .and_then(|load| load.split(' ').next()?.parse().ok())
            .unwrap_or(f64::NAN),
    }
}

/// The command that runs, as one would type it.
fn command() -> String {
    let arguments = std::env::args().skip(1);
    let quoted = arguments.map(|argument| match argument.contains([' ', '*', '\'', '"']) {
        true => format!("'{argument}'"),
        false => argument,
    });
    std::iter::once("fanfare-bench".to_owned())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

impl Conditions {
    /// Of a ladder that never ran.
    #[cfg(test)]
    pub(crate) fn unknown() -> Self {
        Self {
            date: unknown(),
            command: unknown(),
            quick: false,
            rounds: 0,
            processor: unknown(),
            cores: 0,
            memory_gib: 0,
            kernel: unknown(),
            system: unknown(),
            network: unknown(),
            commit: unknown(),
            profile: unknown(),
            load: 0.0,
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn commit(tools: &Tools) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(&tools.peers)
            .args(arguments)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(match changed.is_empty() {
        true => commit,
        false => format!("{commit} with changes"),
    })
}

fn memory_gib() -> u64 {
    let total = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: u64 = total.trim_end_matches(" kB").parse().unwrap_or(0);
    (kib + (1 << 19)) >> 20
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value in the first line that begins with a name.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once([':', '='])?;
    Some(value.trim().to_owned())
}

//! What processes use: CPU time by the kernel's clock of each, memory by `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// Some processes and all that they started.
#[derive(Debug)]
pub struct Processes {
    roots: Vec<i32>,
    /// The last reading of each process, kept when it ends.
    used: HashMap<i32, Duration>,
}

/// What processes hold in memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Resident: pages that are mapped, shared ones counted in each process.
    pub rss: f64,
    /// Resident, shared pages counted by their part.
    pub pss: f64,
}

impl Processes {
    /// These processes and their descendants, also those started later.
    #[must_use]
    pub fn new(roots: &[i32]) -> Self {
        Self {
            roots: roots.to_vec(),
            used: HashMap::new(),
        }
    }

    /// CPU time, user and system, of all threads since each process began, those included that
    /// have ended. Nanoseconds exact; of a process that has ended the last reading counts.
    ///
    /// # Errors
    ///
    /// When one of the given processes does not exist.
    pub fn cpu(&mut self) -> anyhow::Result<Duration> {
        for pid in self.all()? {
            // A child may have ended since it was listed.
            if let Ok(used) = cpu_of(pid) {
                self.used.insert(pid, used);
            }
        }
        Ok(self.used.values().sum())
    }

    /// Memory of all.
    ///
    /// # Errors
    ///
    /// When one of the given processes does not exist, or its memory may not be read.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let mut sum = Memory::default();
        for pid in self.all()? {
            let memory = match memory_of(pid) {
                Ok(memory) => memory,
                Err(_) if !self.roots.contains(&pid) => continue,
                Err(error) => return Err(error),
            };
            sum.rss += memory.rss;
            sum.pss += memory.pss;
        }
        Ok(sum)
    }

    fn all(&self) -> anyhow::Result<Vec<i32>> {
        for pid in &self.roots {
            let exists = fs::exists(format!("/proc/{pid}/stat")).unwrap_or(false);
            anyhow::ensure!(exists, "process {pid} does not exist");
        }
        let mut all = self.roots.clone();
        if all.is_empty() {
            return Ok(all);
        }
        let parents = parents()?;
        let mut place = 0;
        while let Some(&parent) = all.get(place) {
            for &(pid, its_parent) in &parents {
                if its_parent == parent && !all.contains(&pid) {
                    all.push(pid);
                }
            }
            place += 1;
        }
        Ok(all)
    }
}

/// CPU time that this process has used.
#[must_use]
pub fn own_cpu() -> Duration {
    let used = ClockId::CLOCK_PROCESS_CPUTIME_ID.now();
    used.map(Duration::from).unwrap_or_default()
}

fn cpu_of(pid: i32) -> nix::Result<Duration> {
    Ok(clock_getcpuclockid(Pid::from_raw(pid))?.now()?.into())
}

/// Each process and its parent.
fn parents() -> anyhow::Result<Vec<(i32, i32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc cannot be read")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
            && let Some(parent) = parent_in(&stat)
        {
            parents.push((pid, parent));
        }
    }
    Ok(parents)
}

/// The parent in the text of `/proc/PID/stat`: the second field after the name, which stands in
/// parentheses and may hold anything.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn memory_of(pid: i32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let kib = |name| field(&rollup, name).with_context(|| format!("{path} has no {name}"));
    Ok(Memory {
        rss: kib("Rss:")?,
        pss: kib("Pss:")?,
    })
}

fn field(rollup: &str, name: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio, id};
    use std::thread;
    use std::time::Instant;

    use super::*;

    fn own() -> i32 {
        i32::try_from(id()).expect("a process number")
    }

    fn burn(time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            std::hint::black_box(0);
        }
    }

    #[test]
    fn a_thread_that_has_ended_counts() {
        let mut processes = Processes::new(&[own()]);
        let before = processes.cpu().expect("we exist");
        let thread = thread::spawn(|| {
            let begin = own_cpu();
            while own_cpu() - begin < Duration::from_millis(30) {
                burn(Duration::from_millis(1));
            }
        });
        thread.join().expect("it ends");
        let used = processes.cpu().expect("we exist") - before;
        assert!(used >= Duration::from_millis(30), "{used:?}");
    }

    #[test]
    fn descendants_count() {
        let script = "cat > /dev/null & wait; cat > /dev/null";
        let mut shell: Child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let pid = i32::try_from(shell.id()).expect("a process number");
        let processes = Processes::new(&[pid]);
        let begin = Instant::now();
        while processes.all().expect("it runs").len() < 2 {
            assert!(begin.elapsed() < Duration::from_secs(10), "no child seen");
            thread::yield_now();
        }
        assert!(processes.memory().expect("it runs").rss > 0.0);
        drop(shell.stdin.take());
        shell.wait().expect("it ends");
        assert!(processes.all().is_err(), "it has ended");
    }

    #[test]
    fn memory_is_read() {
        let before = Processes::new(&[own()]).memory().expect("we exist");
        let block = vec![1_u8; 8 << 20];
        let after = Processes::new(&[own()]).memory().expect("we exist");
        std::hint::black_box(&block);
        // Other tests run beside this one and may give some back.
        assert!(after.rss - before.rss > 4096.0, "{before:?} {after:?}");
        assert!(after.pss <= after.rss);
    }

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(parent_in("12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 (a"), None);
    }
}

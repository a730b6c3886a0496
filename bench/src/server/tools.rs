//! Where programs are.

use std::env;
use std::path::{Path, PathBuf};

/// Folders in which servers are found.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Our binaries: those of the build that runs, unless said otherwise.
    pub binaries: PathBuf,
    /// `bench/peers` of the source tree.
    pub peers: PathBuf,
    /// Peers that had to be built: `bench-peers` in the target folder, or what the environment
    /// variable `BENCH_PEERS` says.
    pub built_peers: PathBuf,
}

impl Tools {
    /// Our binaries in a folder (default: that of the running program), and the peers of
    /// the source tree.
    ///
    /// # Errors
    /// If the running program has no path.
    pub fn new(binaries: Option<&Path>) -> std::io::Result<Self> {
        let own = env::current_exe()?;
        let own = own.parent().unwrap_or(Path::new("."));
        // A test is one folder further down than a program.
        let own = if own.ends_with("deps") {
            own.parent().unwrap_or(own)
        } else {
            own
        };
        let built = own.parent().unwrap_or(own).join("bench-peers");
        Ok(Self {
            binaries: std::path::absolute(binaries.unwrap_or(own))?,
            peers: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"),
            built_peers: env::var_os("BENCH_PEERS").map_or(built, PathBuf::from),
        })
    }

    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Why one of our binaries cannot run; `None`: it can.
    pub(crate) fn missing(&self, name: &str) -> Option<String> {
        let path = self.binary(name);
        (!path.is_file()).then(|| format!("{} is not built", path.display()))
    }
}

/// A program of the system.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers are often where only root looks.
    let further = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(further)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

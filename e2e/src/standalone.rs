//! `fanfare`: everything in one process.

use std::path::Path;

use tempfile::TempDir;

use crate::binaries;
use crate::ports::free_port;
use crate::process::Process;

/// The binary `fanfare` with an empty data folder, on a port of its own; otherwise as
/// `make run` starts it.
#[derive(Debug)]
pub struct Standalone {
    /// The process.
    pub process: Process,
    port: u16,
    dir: TempDir,
}

impl Standalone {
    /// Starts it and waits until it is ready. It serves the page in the folder `web`.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(web: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let probe = format!("http://127.0.0.1:{port}/health/ready");
        let mut process = Process::new("fanfare", &binaries::find("fanfare"), dir.path(), probe)
            .arg("--set")
            .arg(format!("http_server.port={port}"))
            .arg("--set")
            .arg(format!("web.dir={}", web.display()));
        process.start().await;
        Self { process, port, dir }
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder in which it runs; its data folder is `data` therein.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

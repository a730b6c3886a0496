//! Where the programs are that the tests start.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::OnceCell;

/// The root of the source tree.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is a folder of the tree")
}

/// A binary of the workspace, beside the test that runs.
///
/// # Panics
/// If it was not built; the message has the command that does it.
#[must_use]
pub fn find(name: &str) -> PathBuf {
    let path = built().join(name);
    assert!(
        path.is_file(),
        "{} is not there. Build it: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// `chat-service` as in [`find`], but with the fault points compiled in. Built at the
/// first call, in a folder apart, from what is compiled already.
///
/// # Panics
/// If it does not build.
pub async fn chat_service_with_faults() -> PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async || {
        tokio::task::spawn_blocking(build_chat_service_with_faults)
            .await
            .expect("it builds")
    };
    BUILT.get_or_init(build).await.clone()
}

fn build_chat_service_with_faults() -> PathBuf {
    let built = built();
    let shared = built.parent().expect("a profile's folder is in another");
    let apart = shared.join("fault-points");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        // The whole workspace, of which one binary: so all others' features are those
        // with which the dependencies were compiled before.
        .args(["build", "--quiet", "--locked", "--workspace"])
        .args(["--bin", "chat-service"])
        .args(["--features", "chat-service/fault-points"])
        .arg("--target-dir")
        .arg(&apart)
        // The result goes apart, what is between is shared.
        .env("CARGO_BUILD_BUILD_DIR", shared)
        .current_dir(root());
    if built.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "{build:?} failed: {status}");
    apart
        .join(built.file_name().expect("it has a name"))
        .join("chat-service")
}

/// The folder of binaries: `target/debug`, for a test that is `target/debug/deps/it-…`.
fn built() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent);
    folder.expect("a test is two folders down").to_owned()
}

/// Node.js.
pub(crate) fn node() -> &'static str {
    "node"
}

/// A Python interpreter with the official SDK: the environment variable
/// `FANFARE_TEST_PYTHON`, or where `scripts/install-test-deps.sh` puts it.
pub(crate) fn python() -> PathBuf {
    let path = env::var_os("FANFARE_TEST_PYTHON").map(PathBuf::from);
    let path = path.unwrap_or_else(|| built().with_file_name("test-venv").join("bin/python"));
    assert!(
        path.is_file(),
        "{} is not there. Make it: scripts/install-test-deps.sh",
        path.display()
    );
    path
}

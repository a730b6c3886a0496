//! Other people's servers, and the floor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::child::free_port;
use super::fanfare::TOKEN_SECRET;
use super::tools::{Tools, find};
use super::{Channels, Child, Running, Server, Setup};

const NGINX: &str = include_str!("../../peers/nchan/nginx.conf");
const NATS: &str = include_str!("../../peers/nats/nats.conf");

/// Where distributions put the module.
const NCHAN: [&str; 3] = [
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
    "/usr/share/nginx/modules/ngx_nchan_module.so",
];

/// As many as anybody could want, so that no server stops at a default.
const CONNECTIONS: usize = 200_000;

/// How a peer is started and reached.
struct Recipe {
    program: PathBuf,
    arguments: Vec<String>,
    url: String,
    dialect: &'static str,
    more: Vec<String>,
}

pub(super) fn start(server: Server, setup: &Setup, tools: &Tools, dir: &Path) -> Result<Running> {
    let port = free_port()?;
    let recipe = recipe(server, setup, tools, dir, port)?;
    let mut child = Child::start(server.name(), &recipe.program, &recipe.arguments, dir)?;
    child.wait_for_port(port)?;
    let mut arguments = vec!["--dialect".to_owned(), recipe.dialect.to_owned()];
    arguments.extend(recipe.more);
    Ok(Running {
        urls: vec![recipe.url],
        nodes: vec![child.id()],
        behind: Vec::new(),
        arguments,
        redis_port: None,
        _children: vec![child],
        _redis: None,
        _postgres: None,
    })
}

fn recipe(server: Server, setup: &Setup, tools: &Tools, dir: &Path, port: u16) -> Result<Recipe> {
    let heartbeat = setup.heartbeat.to_string();
    let base = format!("ws://127.0.0.1:{port}");
    let node = |script: &str, url: String, dialect| -> Result<Recipe> {
        let script = tools.peers.join(script).join("server.mjs");
        Ok(Recipe {
            program: find("node").context("node is not here")?,
            arguments: vec![text(&script), port.to_string(), heartbeat.clone()],
            url,
            dialect,
            more: Vec::new(),
        })
    };
    Ok(match server {
        Server::Fanfare | Server::Floor => Recipe {
            program: tools.binary("fanfare-bench-floor"),
            arguments: ["--port", &port.to_string(), "--heartbeat", &heartbeat]
                .map(str::to_owned)
                .into(),
            url: base,
            dialect: "floor",
            more: Vec::new(),
        },
        Server::Nchan => {
            let module = nchan_module().context("the module nchan is not here")?;
            let file = write(
                dir,
                "nginx.conf",
                NGINX,
                &[
                    ("module", &format!("load_module {};", module.display())),
                    // The folder is ours alone.
                    (
                        "user",
                        if rustix::process::getuid().is_root() {
                            "user root;"
                        } else {
                            ""
                        },
                    ),
                    ("files", &open_files().to_string()),
                    ("connections", &open_files().to_string()),
                    ("dir", &text(dir)),
                    ("port", &port.to_string()),
                    ("heartbeat", &heartbeat),
                ],
            )?;
            Recipe {
                program: find("nginx").context("nginx is not here")?,
                arguments: ["-p", &text(dir), "-e", "error.log", "-c", &file]
                    .map(str::to_owned)
                    .into(),
                url: format!("{base}/sub/{{channel}}"),
                dialect: "nchan",
                more: vec![
                    "--publish-url".to_owned(),
                    format!("http://127.0.0.1:{port}/pub/{{channel}}"),
                ],
            }
        }
        Server::Nats => {
            let file = write(
                dir,
                "nats.conf",
                NATS,
                &[
                    ("client_port", &free_port()?.to_string()),
                    ("connections", &CONNECTIONS.to_string()),
                    ("dir", &text(dir)),
                    ("port", &port.to_string()),
                    ("heartbeat", &format!("{heartbeat}s")),
                ],
            )?;
            Recipe {
                program: find("nats-server").context("nats-server is not here")?,
                arguments: vec!["-c".to_owned(), file],
                url: base,
                dialect: "nats",
                more: Vec::new(),
            }
        }
        Server::CentrifugeGo => {
            let history = match setup.channels {
                Channels::Plain => "0",
                Channels::History => "300",
            };
            Recipe {
                program: tools.built_peers.join("centrifuge-go"),
                arguments: [
                    "-address",
                    &format!("127.0.0.1:{port}"),
                    "-secret",
                    TOKEN_SECRET,
                    "-heartbeat",
                    &format!("{heartbeat}s"),
                    "-history",
                    history,
                ]
                .map(str::to_owned)
                .into(),
                url: format!("{base}/connection/websocket"),
                dialect: "centrifuge-json",
                more: vec!["--token-secret".to_owned(), TOKEN_SECRET.to_owned()],
            }
        }
        Server::Socketio => {
            let url = format!("{base}/socket.io/?EIO=4&transport=websocket");
            node("socketio", url, "socketio")?
        }
        Server::Ws => node("ws", base, "ws")?,
    })
}

pub(super) fn missing(server: Server, tools: &Tools) -> Option<String> {
    let program = |name: &str, package: &str| {
        let hint = || format!("{name} is not here (Debian: {package})");
        find(name).is_none().then(hint)
    };
    let packages = |name: &str| {
        let folder = tools.peers.join(name).join("node_modules");
        let hint =
            || format!("its packages are not installed (npm ci --prefix bench/peers/{name})");
        (!folder.is_dir()).then(hint)
    };
    match server {
        Server::Fanfare | Server::Floor => tools.missing("fanfare-bench-floor"),
        Server::Nchan => program("nginx", "nginx-light").or_else(|| {
            let hint = "the module is not here (Debian: libnginx-mod-nchan)";
            nchan_module().is_none().then(|| hint.to_owned())
        }),
        Server::Nats => program("nats-server", "nats-server"),
        Server::CentrifugeGo => {
            let path = tools.built_peers.join("centrifuge-go");
            let hint = "it is not built (needs Go; scripts/bench-peers.sh builds it)";
            (!path.is_file()).then(|| hint.to_owned())
        }
        Server::Socketio => program("node", "nodejs").or_else(|| packages("socketio")),
        Server::Ws => program("node", "nodejs").or_else(|| packages("ws")),
    }
}

pub(super) fn version(server: Server, tools: &Tools) -> String {
    let package = |name: &str, package: &str| {
        let file = tools
            .peers
            .join(name)
            .join("node_modules")
            .join(package)
            .join("package.json");
        let text = fs::read_to_string(file).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let version = json["version"]
            .as_str()
            .unwrap_or("of unknown version")
            .to_owned();
        format!(
            "{package} {version} on Node.js {}",
            said("node", &["--version"])
        )
    };
    match server {
        Server::Fanfare | Server::Floor => "of this tree".to_owned(),
        Server::Nchan => format!(
            "nchan {} in {}, 1 worker",
            said("dpkg-query", &["-W", "-f=${Version}", "libnginx-mod-nchan"]),
            said("nginx", &["-v"]).replace("nginx version: ", "")
        ),
        Server::Nats => said("nats-server", &["-v"]),
        Server::CentrifugeGo => {
            let program = text(&tools.built_peers.join("centrifuge-go"));
            let modules = said("go", &["version", "-m", &program]);
            let line = modules
                .lines()
                .find(|line| line.contains("centrifugal/centrifuge\t"));
            let version = line.and_then(|line| line.split_whitespace().nth(2));
            format!(
                "centrifuge {}, memory engine",
                version.unwrap_or("of unknown version")
            )
        }
        Server::Socketio => package("socketio", "socket.io"),
        Server::Ws => package("ws", "ws"),
    }
}

/// What a program says to standard output or error.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = find(program).and_then(|path| Command::new(path).args(arguments).output().ok());
    let Some(output) = output else {
        return "of unknown version".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn nchan_module() -> Option<&'static Path> {
    NCHAN.iter().map(Path::new).find(|path| path.is_file())
}

/// A configuration made of a template.
fn write(dir: &Path, name: &str, template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut config = template.to_owned();
    for (key, value) in values {
        config = config.replace(&format!("{{{{{key}}}}}"), value);
    }
    let file = dir.join(name);
    fs::write(&file, config).with_context(|| file.display().to_string())?;
    Ok(text(&file))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn open_files() -> u64 {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current;
    limit.unwrap_or(CONNECTIONS as u64).min(CONNECTIONS as u64)
}

//! The command line of `fanfare-bench run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::dialect::DialectName;
use crate::event_loop::Leave;
use crate::scenario::ScenarioName;

/// What is run, against what.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Options {
    /// What is done.
    #[arg(long, value_enum)]
    pub scenario: ScenarioName,
    /// The protocol of the server.
    #[arg(long, value_enum)]
    pub dialect: DialectName,
    /// Where listeners connect; several nodes are used in turn. `{channel}` stands for the name of
    /// the channel.
    #[arg(long, required = true)]
    pub url: Vec<String>,
    /// Where publishers connect, if elsewhere.
    #[arg(long)]
    pub publish_url: Vec<String>,
    /// A process of the server; its descendants count too.
    #[arg(long)]
    pub pid: Vec<i32>,
    /// How many listeners, or connections. Idle and storm 10,000, fanout and rpc 1,000, rooms
    /// 5,000.
    #[arg(long)]
    pub connections: Option<usize>,
    /// How many publish. 1; redis 50.
    #[arg(long)]
    pub publishers: Option<usize>,
    /// How many listeners share a channel. Rooms and storm 10, redis 1, chat 2 beside the sender.
    #[arg(long)]
    pub room_size: Option<usize>,
    /// How many channels (redis).
    #[arg(long, default_value_t = 1_000)]
    pub channels: usize,
    /// How many rooms (chat).
    #[arg(long, default_value_t = 100)]
    pub rooms: usize,
    /// All connections subscribe to the same channel (idle).
    #[arg(long)]
    pub same_channel: bool,
    /// Publications or calls a second, over all channels or connections, whatever becomes of them.
    #[arg(long, conflicts_with_all = ["max", "one_at_a_time"])]
    pub rate: Option<f64>,
    /// As many publications as the server bears: see `--window`.
    #[arg(long, conflicts_with = "one_at_a_time")]
    pub max: bool,
    /// The next publication of a channel when all its listeners have the last.
    #[arg(long)]
    pub one_at_a_time: bool,
    /// With `--max`, how many publications of a channel are on their way to its slowest listener:
    /// 256 for one channel, 4 for each of many. In chat, how many messages of a sender are not
    /// acknowledged: 1.
    #[arg(long)]
    pub window: Option<u32>,
    /// With `--max`, how many publications a publisher sends at once, to its channels in turn; the
    /// next when all of them have come. This is how redis-benchmark uses a pipeline. Instead of
    /// `--window`.
    #[arg(long, requires = "max", conflicts_with = "window")]
    pub batch: Option<u32>,
    /// How long is measured. 10; idle: three heartbeats, if that is longer and the server says how
    /// often they are.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// How long before that the same is done, or nothing (idle).
    #[arg(long, default_value_t = 2.0)]
    pub warmup_seconds: f64,
    /// How long after all have left it is measured what is left.
    #[arg(long, default_value_t = 60.0)]
    pub leave_seconds: f64,
    /// How long nothing may come, at the end, before what is missing is lost.
    #[arg(long, default_value_t = 3.0)]
    pub drain_seconds: f64,
    /// How long nothing may happen before it is given up.
    #[arg(long, default_value_t = 30.0)]
    pub patience_seconds: f64,
    /// Bytes of a publication.
    #[arg(long, default_value_t = 128)]
    pub payload_bytes: usize,
    /// Names of channels; `{}` stands for a number. `bench:{}` where there are namespaces, else
    /// `bench{}`.
    #[arg(long)]
    pub channel: Option<String>,
    /// Key of HS256 tokens: each client is a user of its own. Without it they are anonymous.
    #[arg(long)]
    pub token_secret: Option<String>,
    /// Subscriptions ask to be positioned and recoverable.
    #[arg(long)]
    pub recoverable: bool,
    /// Publications to each channel that are missed and must be recovered (storm).
    #[arg(long, default_value_t = 0)]
    pub recover: u32,
    /// How connections are lost (storm).
    #[arg(long, value_enum, default_value_t = Leave::Reset)]
    pub leave: Leave,
    /// What is called (rpc).
    #[arg(long, default_value = "ping")]
    pub method: String,
    /// With what it is called: JSON (rpc).
    #[arg(long, default_value = "{}")]
    pub data: String,
    /// Connections that are being opened at a time. 64; storm 1,000.
    #[arg(long)]
    pub in_flight: Option<usize>,
    /// Addresses of this machine that connections come from, 127.0.0.1 and the next. 0: as the
    /// system chooses.
    #[arg(long, default_value_t = 0)]
    pub source_addresses: u8,
    /// File of certificates (PEM) to trust, for wss.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
}

/// How the outcome is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For programs.
    Json,
    /// For people.
    Table,
}

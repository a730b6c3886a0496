//! One scenario against one running server: the options, and what becomes of them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use wire::Format as WireFormat;

use crate::dialect::{Centrifuge, Channels, Dialect, DialectName, Plain};
use crate::event_loop::{EventLoop, Parts};
use crate::fleet::Opening;
use crate::outcome::{Found, Outcome};
use crate::payload::Payloads;
use crate::process::Processes;
use crate::scenario::broadcast::{self, Broadcast, Pace};
use crate::scenario::idle::{self, Idle};
use crate::scenario::{ScenarioName, Setup};
use crate::socket::Tls;
use crate::target::Target;

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
    /// How many listeners, or connections. Idle and storm 10,000, fanout 1,000, rooms 5,000.
    #[arg(long)]
    pub connections: Option<usize>,
    /// How many publish.
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// How many listeners share a channel, in rooms.
    #[arg(long, default_value_t = 10)]
    pub room_size: usize,
    /// All connections subscribe to the same channel (idle).
    #[arg(long)]
    pub same_channel: bool,
    /// Publications a second over all channels, whatever becomes of them.
    #[arg(long, conflicts_with_all = ["max", "one_at_a_time"])]
    pub rate: Option<f64>,
    /// As many publications as the server bears: see `--window`.
    #[arg(long, conflicts_with = "one_at_a_time")]
    pub max: bool,
    /// The next publication of a channel when all its listeners have the last.
    #[arg(long)]
    pub one_at_a_time: bool,
    /// With `--max`, how many publications of a channel are on their way to its slowest listener.
    /// 256 for one channel, 4 for each of many.
    #[arg(long)]
    pub window: Option<u32>,
    /// How long is measured.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
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
    /// Names of channels; `{}` stands for a number.
    #[arg(long)]
    pub channel: Option<String>,
    /// Key of HS256 tokens: each client is a user of its own. Without it they are anonymous.
    #[arg(long)]
    pub token_secret: Option<String>,
    /// Subscriptions are positioned and recoverable.
    #[arg(long)]
    pub recoverable: bool,
    /// Connections that are being opened at a time.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
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

/// Runs the scenario and prints its outcome.
///
/// # Errors
///
/// When the server cannot be reached or refuses what it is asked, or the options contradict each
/// other.
#[expect(clippy::print_stdout, reason = "the outcome is the output")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let outcome = outcome(options)?;
    match options.format {
        Format::Json => println!("{}", serde_json::to_string(&outcome)?),
        Format::Table => print!("{}", outcome.table()),
    }
    Ok(())
}

fn outcome(options: &Options) -> anyhow::Result<Outcome> {
    raise_file_limit();
    let mut setup = setup(options)?;
    let mut parameters = Map::new();
    let found = run_scenario(options, &mut setup, &mut parameters)?;
    Ok(Outcome {
        scenario: name(&options.scenario),
        dialect: name(&options.dialect),
        parameters,
        measures: found.measures,
        counts: found.counts,
        latency_ms: found.latency_ms,
        generator: found.generator,
    })
}

fn run_scenario(
    options: &Options,
    setup: &mut Setup,
    parameters: &mut Map<String, Value>,
) -> anyhow::Result<Found> {
    let mut note = |name: &str, value: Value| {
        parameters.insert(name.to_owned(), value);
    };
    note("payload_bytes", options.payload_bytes.into());
    let connections = |default| options.connections.unwrap_or(default).max(1);
    match options.scenario {
        ScenarioName::Idle => {
            let idle = Idle {
                connections: connections(10_000),
                same_channel: options.same_channel,
                settle: time(options.warmup_seconds)?,
                quiet: time(options.seconds)?,
                left: time(options.leave_seconds)?,
            };
            note("connections", idle.connections.into());
            note("same_channel", idle.same_channel.into());
            note("seconds", options.seconds.into());
            note("leave_seconds", options.leave_seconds.into());
            idle::run(setup, idle)
        }
        ScenarioName::Fanout | ScenarioName::Rooms => {
            let many = options.scenario == ScenarioName::Rooms;
            let listeners = connections(if many { 5_000 } else { 1_000 });
            let broadcast = Broadcast {
                listeners,
                room: if many {
                    options.room_size.max(1)
                } else {
                    listeners
                },
                together: many,
                publishers: options.publishers.max(1),
                pace: pace(options, many)?,
                warm_up: time(options.warmup_seconds)?,
                time: time(options.seconds)?,
            };
            note("connections", broadcast.listeners.into());
            note("room_size", broadcast.room.into());
            note("publishers", broadcast.publishers.into());
            note("seconds", options.seconds.into());
            match broadcast.pace {
                Pace::Rate(rate) => note("rate", rate.into()),
                Pace::Window(window) => note("window", window.into()),
            }
            broadcast::run(setup, &broadcast)
        }
    }
}

/// The pace that is asked for; for one channel one at a time, for many 2,000 a second.
fn pace(options: &Options, many: bool) -> anyhow::Result<Pace> {
    if let Some(rate) = options.rate {
        anyhow::ensure!(rate > 0.0 && rate.is_finite(), "--rate must be above 0");
        return Ok(Pace::Rate(rate));
    }
    if options.max {
        let window = options.window.unwrap_or(if many { 4 } else { 256 });
        anyhow::ensure!(window > 0, "--window must be above 0");
        return Ok(Pace::Window(window));
    }
    if options.one_at_a_time || !many {
        return Ok(Pace::Window(1));
    }
    Ok(Pace::Rate(2_000.0))
}

fn setup(options: &Options) -> anyhow::Result<Setup> {
    let parse = |urls: &[String]| {
        let targets = urls.iter().map(|url| Target::parse(url));
        targets.collect::<anyhow::Result<Vec<_>>>()
    };
    let targets = parse(&options.url)?;
    let publish_targets = if options.publish_url.is_empty() {
        targets.clone()
    } else {
        parse(&options.publish_url)?
    };
    let template = options.channel.as_deref();
    let channels = Channels::new(template.unwrap_or(default_channel(options.dialect)));
    let event_loop = EventLoop::new(Parts {
        dialect: dialect(options, channels.clone()),
        channels,
        payloads: Payloads::json(options.payload_bytes),
        tls: Tls::trusting(options.ca_file.as_deref())?,
        sources: options.source_addresses,
    })?;
    Ok(Setup {
        event_loop,
        processes: Processes::new(&options.pid),
        targets,
        publish_targets,
        opening: Opening {
            in_flight: options.in_flight.max(1),
            patience: time(options.patience_seconds)?,
        },
        quiet: time(options.drain_seconds)?,
    })
}

fn default_channel(dialect: DialectName) -> &'static str {
    match dialect {
        DialectName::CentrifugeJson | DialectName::CentrifugeProtobuf => "bench:{}",
        DialectName::Ws | DialectName::Floor => "bench{}",
    }
}

fn dialect(options: &Options, channels: Channels) -> Box<dyn Dialect> {
    let centrifuge = |format, channels| {
        let secret = options.token_secret.clone();
        Box::new(Centrifuge::new(
            format,
            channels,
            secret,
            options.recoverable,
        ))
    };
    match options.dialect {
        DialectName::CentrifugeJson => centrifuge(WireFormat::Json, channels),
        DialectName::CentrifugeProtobuf => centrifuge(WireFormat::Protobuf, channels),
        DialectName::Ws | DialectName::Floor => Box::new(Plain::new(channels)),
    }
}

fn time(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{seconds} is no time"))
}

/// The name of a choice, as on the command line.
fn name(choice: &impl ValueEnum) -> String {
    let value = choice.to_possible_value();
    value.map_or(String::new(), |value| value.get_name().to_owned())
}

/// Every connection is a file: as many as the system lets this user have.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    // If it is refused, opening says so when there are too many.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

//! One scenario against one running server: from the options to the outcome.

mod options;

use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::{Map, Value};
use wire::Format as WireFormat;

pub use self::options::{Format, Options};
use crate::dialect::{
    Centrifuge, Channels, Dialect, DialectName, Nats, Nchan, Plain, SocketIo, sign_token,
};
use crate::event_loop::{EventLoop, Parts};
use crate::fleet::Opening;
use crate::outcome::{Found, Outcome};
use crate::payload::{CHANNELS, PROBE, Payloads};
use crate::process::Processes;
use crate::scenario::broadcast::{self, Broadcast, Pace};
use crate::scenario::chat::{self, Chat};
use crate::scenario::idle::{self, Idle};
use crate::scenario::rpc::{self, Rpc};
use crate::scenario::storm::{self, Storm};
use crate::scenario::{ScenarioName, Setup};
use crate::socket::Tls;
use crate::target::Target;

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

/// Runs the scenario.
///
/// # Errors
///
/// As [`run`].
pub fn outcome(options: &Options) -> anyhow::Result<Outcome> {
    raise_file_limit();
    let mut parameters = Parameters::default();
    parameters.note("payload_bytes", options.payload_bytes);
    let found = match options.scenario {
        ScenarioName::Idle => run_idle(options, &mut parameters),
        ScenarioName::Fanout | ScenarioName::Rooms | ScenarioName::Redis => {
            run_broadcast(options, &mut parameters)
        }
        ScenarioName::Storm => run_storm(options, &mut parameters),
        ScenarioName::Rpc => run_rpc(options, &mut parameters),
        ScenarioName::Chat => run_chat(options, &mut parameters),
    }?;
    Ok(Outcome {
        scenario: name(&options.scenario),
        dialect: name(&options.dialect),
        parameters: parameters.0,
        measures: found.measures,
        counts: found.counts,
        latency_ms: found.latency_ms,
        generator: found.generator,
        notes: found.notes,
    })
}

/// What a run is run with, for its outcome.
#[derive(Default)]
struct Parameters(Map<String, Value>);

impl Parameters {
    fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

fn run_idle(options: &Options, parameters: &mut Parameters) -> anyhow::Result<Found> {
    let idle = Idle {
        connections: options.connections.unwrap_or(10_000).max(1),
        same_channel: options.same_channel,
        settle: time(options.warmup_seconds)?,
        quiet: options.seconds.map(time).transpose()?,
        left: time(options.leave_seconds)?,
    };
    parameters.note("connections", idle.connections);
    parameters.note("same_channel", idle.same_channel);
    parameters.note("leave_seconds", options.leave_seconds);
    idle::run(&mut setup(options, json(options), numbered(options))?, idle)
}

fn run_broadcast(options: &Options, parameters: &mut Parameters) -> anyhow::Result<Found> {
    let many = options.scenario != ScenarioName::Fanout;
    let (listeners, room, publishers) = match options.scenario {
        ScenarioName::Redis => {
            let room = options.room_size.unwrap_or(1).max(1);
            (options.channels.max(1) * room, room, 50)
        }
        ScenarioName::Rooms => {
            let listeners = options.connections.unwrap_or(5_000).max(1);
            (listeners, options.room_size.unwrap_or(10).max(1), 1)
        }
        _ => {
            let listeners = options.connections.unwrap_or(1_000).max(1);
            (listeners, listeners, 1)
        }
    };
    // Where each room is on a node of its own, so is a publisher of it.
    let nodes = options.url.len().max(options.publish_url.len());
    let publishers = options.publishers.unwrap_or(publishers).max(1);
    let publishers = publishers.next_multiple_of(nodes);
    anyhow::ensure!(publishers < PROBE as usize, "too many publishers");
    anyhow::ensure!(listeners.div_ceil(room) <= CHANNELS, "too many channels");
    let broadcast = Broadcast {
        listeners,
        room,
        together: many,
        publishers,
        pace: pace(options, many)?,
        warm_up: time(options.warmup_seconds)?,
        time: measured(options)?,
    };
    parameters.note("connections", broadcast.listeners);
    parameters.note("room_size", broadcast.room);
    parameters.note("publishers", broadcast.publishers);
    parameters.note("seconds", options.seconds.unwrap_or(SECONDS));
    match broadcast.pace {
        Pace::Rate(rate) => parameters.note("rate", rate),
        Pace::Window(window) => parameters.note("window", window),
        Pace::Batch(size) => parameters.note("batch", size),
    }
    let mut setup = setup(options, json(options), numbered(options))?;
    broadcast::run(&mut setup, &broadcast)
}

fn run_storm(options: &Options, parameters: &mut Parameters) -> anyhow::Result<Found> {
    let storm = Storm {
        connections: options.connections.unwrap_or(10_000).max(1),
        room: options.room_size.unwrap_or(10).max(1),
        leave: options.leave,
        recover: options.recover,
    };
    parameters.note("connections", storm.connections);
    parameters.note("room_size", storm.room);
    parameters.note("recover", storm.recover);
    parameters.note("leave", name(&storm.leave));
    parameters.note("in_flight", in_flight(options));
    let mut setup = setup(options, json(options), numbered(options))?;
    storm::run(&mut setup, &storm)
}

fn run_rpc(options: &Options, parameters: &mut Parameters) -> anyhow::Result<Found> {
    let rpc = Rpc {
        connections: options.connections.unwrap_or(1_000).max(1),
        method: options.method.clone(),
        data: options.data.clone(),
        rate: options.rate.map(rate).transpose()?,
        warm_up: time(options.warmup_seconds)?,
        time: measured(options)?,
    };
    parameters.note("connections", rpc.connections);
    parameters.note("method", rpc.method.as_str());
    parameters.note("rate", rpc.rate);
    parameters.note("seconds", options.seconds.unwrap_or(SECONDS));
    rpc::run(&mut setup(options, json(options), numbered(options))?, &rpc)
}

fn run_chat(options: &Options, parameters: &mut Parameters) -> anyhow::Result<Found> {
    let chat = Chat {
        rooms: options.rooms.max(1),
        members: options.room_size.unwrap_or(2).max(1),
        window: options.window.unwrap_or(1).max(1),
        warm_up: time(options.warmup_seconds)?,
        time: measured(options)?,
    };
    parameters.note("rooms", chat.rooms);
    parameters.note("room_size", chat.members);
    parameters.note("window", chat.window);
    parameters.note("seconds", options.seconds.unwrap_or(SECONDS));
    let secret = options.token_secret.as_deref();
    let secret = secret.context("chat needs users: --token-secret")?;
    let url = options.url.first().context("--url")?;
    let rooms = chat::make_rooms(chat, url, |user| sign_token(secret, user))?;
    let text = Payloads::text(options.payload_bytes);
    let channels = Channels::Named(rooms.channels.clone());
    chat::run(&mut setup(options, text, channels)?, chat, &rooms)
}

/// The pace that is asked for; for one channel one at a time, for many 2,000 a second.
fn pace(options: &Options, many: bool) -> anyhow::Result<Pace> {
    if let Some(asked) = options.rate {
        return Ok(Pace::Rate(rate(asked)?));
    }
    if let Some(size) = options.batch {
        anyhow::ensure!(size > 0, "--batch must be above 0");
        return Ok(Pace::Batch(size));
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

fn rate(rate: f64) -> anyhow::Result<f64> {
    anyhow::ensure!(rate > 0.0 && rate.is_finite(), "--rate must be above 0");
    Ok(rate)
}

fn setup(options: &Options, payloads: Payloads, channels: Channels) -> anyhow::Result<Setup> {
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
    let event_loop = EventLoop::new(Parts {
        dialect: dialect(options, channels.clone(), &publish_targets)?,
        channels,
        payloads,
        tls: Tls::trusting(options.ca_file.as_deref())?,
        sources: options.source_addresses,
    })?;
    Ok(Setup {
        event_loop,
        processes: Processes::new(&options.pid),
        targets,
        publish_targets,
        opening: Opening {
            in_flight: in_flight(options),
            patience: time(options.patience_seconds)?,
        },
        quiet: time(options.drain_seconds)?,
    })
}

fn in_flight(options: &Options) -> usize {
    let usual = match options.scenario {
        ScenarioName::Storm => 1_000,
        _ => 64,
    };
    options.in_flight.unwrap_or(usual).max(1)
}

fn json(options: &Options) -> Payloads {
    Payloads::json(options.payload_bytes)
}

fn numbered(options: &Options) -> Channels {
    let usual = match options.dialect {
        DialectName::CentrifugeJson | DialectName::CentrifugeProtobuf => "bench:{}",
        _ => "bench{}",
    };
    Channels::numbered(options.channel.as_deref().unwrap_or(usual))
}

fn dialect(
    options: &Options,
    channels: Channels,
    publish_targets: &[Target],
) -> anyhow::Result<Box<dyn Dialect>> {
    let recoverable = options.recoverable || options.recover > 0;
    let centrifuge = |format, channels| {
        let secret = options.token_secret.clone();
        Box::new(Centrifuge::new(format, channels, secret, recoverable))
    };
    Ok(match options.dialect {
        DialectName::CentrifugeJson => centrifuge(WireFormat::Json, channels),
        DialectName::CentrifugeProtobuf => centrifuge(WireFormat::Protobuf, channels),
        DialectName::Nchan => {
            let target = publish_targets.first().context("--publish-url")?;
            Box::new(Nchan::new(target.clone()))
        }
        DialectName::Nats => Box::new(Nats::new(channels)),
        DialectName::SocketIo => Box::new(SocketIo::new(channels)),
        DialectName::Ws | DialectName::Floor => Box::new(Plain::new(channels)),
    })
}

/// How long is measured, if nothing else is asked for.
const SECONDS: f64 = 10.0;

fn measured(options: &Options) -> anyhow::Result<Duration> {
    time(options.seconds.unwrap_or(SECONDS))
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

//! What other people's tools reach with the same work: `redis-benchmark` with the broker's
//! script, `pgbench` with the rows of a message.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use testkit::{PostgresServer, RedisServer};

use super::outcome::Outcome;
use crate::server::{REDIS_PREFIX, Tools, find, migrate_chat};

/// The script that appends to a history and publishes.
const PUBLISH: &str = include_str!("../../../crates/broker/src/redis/scripts/publish.lua");

/// As long as what a node puts around a payload of 128 bytes, and the payload.
const ENVELOPE: usize = 160;

/// Publications that a history keeps.
const HISTORY: &str = "300";

/// Connections of `redis-benchmark`, and publishers of the load that is compared with it. A node
/// has one connection to Redis for all of them.
pub(super) const CONNECTIONS: usize = 8;
/// What each of them sends at once; the next when all of it is answered, or delivered.
pub(super) const PIPELINE: usize = 32;

pub(super) fn missing_redis() -> Option<String> {
    absent("redis-server", "redis-server")
}

pub(super) fn missing_redis_benchmark() -> Option<String> {
    absent("redis-benchmark", "redis-tools")
}

pub(super) fn missing_pgbench() -> Option<String> {
    pgbench_program()
        .is_none()
        .then(|| "pgbench is not here (Debian: postgresql)".to_owned())
}

pub(super) fn missing_postgres() -> Option<String> {
    let in_path = find("postgres").is_some() && find("initdb").is_some();
    let is_here = in_path || distributed("postgres").is_some();
    (!is_here).then(|| "PostgreSQL is not here (Debian: postgresql)".to_owned())
}

fn absent(program: &str, package: &str) -> Option<String> {
    find(program)
        .is_none()
        .then(|| format!("{program} is not here (Debian: {package})"))
}

/// Publications per second of the broker's script, called by nothing but a benchmark.
///
/// Keys and arguments are those of a node that publishes to a channel with history. It is one
/// channel, because the benchmark cannot put the same random number into all keys of a
/// command, and nobody is subscribed.
pub(super) async fn redis_benchmark(seconds: u64) -> Result<Outcome> {
    let redis = RedisServer::start().await;
    let port = redis.port().to_string();
    let hash = redis_cli(&port, &["SCRIPT", "LOAD", PUBLISH])?;
    ensure!(hash.len() == 40, "the script is refused: {hash}");

    // A short run first, to know how many make the wanted time.
    let few = benchmark(&port, &hash, 20_000)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a number of commands"
    )]
    let count = ((few * seconds as f64) as u64).max(20_000);
    let rate = benchmark(&port, &hash, count)?;
    // The benchmark does not look at answers: those of a script that wants other arguments
    // would only make it faster.
    let history = key("history");
    let length = redis_cli(&port, &["XLEN", &history])?;
    let last = redis_cli(&port, &["XREVRANGE", &history, "+", "-", "COUNT", "1"])?;
    ensure!(
        length == HISTORY && last.ends_with(&format!("\nd\n{}", envelope())),
        "the script did not publish: {length} publications are kept, the last is {last}"
    );
    Ok(outcome(
        "redis-benchmark",
        &[("publications_per_second", rate)],
    ))
}

/// What Redis answers to a command, as redis-cli prints it for programs.
fn redis_cli(port: &str, command: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli")
        .args(["-p", port])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .context("redis-cli")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A key or channel of Redis, as a node names it.
fn key(kind: &str) -> String {
    format!("{REDIS_PREFIX}:{kind}:{{.bench}}")
}

fn envelope() -> String {
    "x".repeat(ENVELOPE)
}

fn benchmark(port: &str, hash: &str, count: u64) -> Result<f64> {
    let output = Command::new("redis-benchmark")
        .args(["-p", port, "--csv", "-c", &CONNECTIONS.to_string()])
        .args(["-P", &PIPELINE.to_string(), "-n", &count.to_string()])
        .args([
            "EVALSHA",
            hash,
            "3",
            &key("history"),
            &key("meta"),
            &(key("once") + ":"),
        ])
        .args(["epoch", &key("pub"), &envelope(), HISTORY])
        .args(["300000", "2592000000", "", "", ""])
        .stdin(Stdio::null())
        .output()
        .context("redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    rate_in(&text).with_context(|| format!("redis-benchmark printed: {text}"))
}

/// The second field of the last line: `"EVALSHA …","12345.67",…`. The first may hold anything.
fn rate_in(csv: &str) -> Option<f64> {
    let line = csv.lines().rfind(|line| line.starts_with("\"EVALSHA"))?;
    let (_, rest) = line.split_once("\",\"")?;
    rest.split('"').next()?.parse().ok()
}

/// Messages per second of a benchmark that inserts the rows of a message.
pub(super) async fn pgbench(
    rooms: usize,
    seconds: u64,
    tools: &Tools,
    dir: &Path,
) -> Result<Outcome> {
    let server = PostgresServer::durable().await;
    let database = server.database().await;
    // Fanfare makes its tables and goes.
    migrate_chat(tools, dir, database.url())?;
    database.sql(&seed(rooms)).await;
    let script = dir.join("message.sql");
    std::fs::write(&script, script_of(rooms))?;
    let program = pgbench_program().context("pgbench is not here")?;
    // As many clients as Fanfare has connections by default.
    let output = Command::new(program)
        .args(["-n", "-M", "prepared", "-c", "20", "-j", "2"])
        .args(["-T", &seconds.to_string(), "-f"])
        .arg(&script)
        .arg(database.url())
        .stdin(Stdio::null())
        .output()
        .context("pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench: {}", error.trim());
    let failed = value(&text, "number of failed transactions: ").unwrap_or(0.0);
    ensure!(failed == 0.0, "pgbench: {failed} transactions failed");
    let rate = value(&text, "tps = ").with_context(|| format!("pgbench printed: {text}"))?;
    let stored: f64 = database
        .sql("select count(*) from messages")
        .await
        .parse()?;
    let events: f64 = database
        .sql("select count(*) from log_events")
        .await
        .parse()?;
    ensure!(
        stored > 0.0 && stored == events,
        "{stored} messages and {events} events are stored"
    );
    let latency = value(&text, "latency average = ").unwrap_or(f64::NAN);
    Ok(outcome(
        "pgbench",
        &[("sends_per_second", rate), ("latency_average_ms", latency)],
    ))
}

/// The number after some words.
fn value(text: &str, before: &str) -> Option<f64> {
    let (_, rest) = text.split_once(before)?;
    rest.split([' ', '\n']).next()?.parse().ok()
}

/// Rooms, each with one member.
fn seed(rooms: usize) -> String {
    format!(
        "insert into rooms (room_id, kind, name, name_folded, created_by, created_ms, activity_ms,
            member_count)
        select 'r' || n, 'group', 'room', 'room', 'alice', 0, 0, 1
        from generate_series(1, {rooms}) as n;
        insert into members (room_id, user_id, role, joined_ms, read_seq)
        select 'r' || n, 'alice', 'owner', 0, 0 from generate_series(1, {rooms}) as n;
        insert into logs (channel, epoch, top)
        select 'room:r' || n, 'epoch', 0 from generate_series(1, {rooms}) as n;"
    )
}

/// What a message is to the database: the room's counter, the author's read pointer, the
/// message, the log's counter and the event, in one transaction. (`chr(58)` is a colon: what
/// follows one would be a variable of the benchmark.)
fn script_of(rooms: usize) -> String {
    let mut script = format!("\\set room random(1, {rooms})\nbegin;\n");
    let _ = write!(
        script,
        "with room as (
            update rooms set last_message_seq = last_message_seq + 1, activity_ms = 1
            where room_id = 'r' || :room::text returning room_id, last_message_seq as seq
        ), member as (
            update members set read_seq = room.seq from room
            where members.room_id = room.room_id and user_id = 'alice'
        ), log as (
            update logs set top = top + 1, unpublished_since_ms = coalesce(unpublished_since_ms, 1)
            where channel = 'room' || chr(58) || 'r' || :room::text returning channel, top
        ), event as (
            insert into log_events (channel, log_offset, data, time_ms)
            select channel, top, '{}', 1 from log
        )
        insert into messages (room_id, seq, message_id, author, client_msg_id, event_offset,
            fingerprint, body, created_ms)
        select room.room_id, room.seq, gen_random_uuid(), 'alice', gen_random_uuid(), log.top,
            '{}', '{}', 1
        from room, log;\ncommit;\n",
        "e".repeat(EVENT),
        "f".repeat(FINGERPRINT),
        "x".repeat(TEXT),
    );
    script
}

/// Bytes of a message's text, its fingerprint (a UUID), and the event that announces it.
const TEXT: usize = 128;
const FINGERPRINT: usize = 36;
const EVENT: usize = 450;

fn outcome(scenario: &str, measures: &[(&str, f64)]) -> Outcome {
    let measures = measures
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()));
    Outcome {
        scenario: scenario.to_owned(),
        measures: measures.collect(),
        ..Outcome::default()
    }
}

fn pgbench_program() -> Option<PathBuf> {
    find("pgbench").or_else(|| distributed("pgbench"))
}

/// A program of PostgreSQL where Debian puts it.
fn distributed(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let paths = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name));
    paths.filter(|path| path.is_file()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn redis_benchmark_publishes_what_the_script_expects() {
        let outcome = redis_benchmark(0).await.unwrap();
        assert!(outcome.figure("publications_per_second").unwrap() > 0.0);
    }

    #[test]
    fn what_the_tools_print_is_read() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\
            \"EVALSHA a 3 {.b} x, \"\"\",\"12345.67\",\"0.1\"\n";
        assert_eq!(rate_in(csv), Some(12_345.67));
        let text = "latency average = 1.234 ms\ntps = 987.65 (without initial connection time)\n";
        assert_eq!(value(text, "tps = "), Some(987.65));
        assert_eq!(value(text, "latency average = "), Some(1.234));
        assert_eq!(value(text, "stddev = "), None);
    }
}

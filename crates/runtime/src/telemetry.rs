//! Logs and traces of a process.

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// How long the last spans may take to reach the collector at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Libraries whose own spans and debug lines would drown ours; spans that live
/// as long as a connection also grow without a bound.
const NOISY: [&str; 9] = [
    "h2",
    "hyper",
    "hyper_util",
    "tonic",
    "tower",
    "rustls",
    "sqlx",
    "opentelemetry",
    "opentelemetry_sdk",
];

/// Section `log`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// From which level on lines are written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// Values of `log.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    None,
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    #[serde(alias = "fatal")]
    Error,
}

/// Values of `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Section `opentelemetry`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenTelemetryConfig {
    /// Where traces go: the address of an OTLP/gRPC collector, such as
    /// `http://collector:4317`. Empty: the variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, and if that is empty too, nowhere.
    pub endpoint: String,
    /// The part of traces that begin here which is recorded, 0 to 1. A trace
    /// that began elsewhere is recorded if its caller records it.
    pub sample_ratio: f64,
}

impl Default for OpenTelemetryConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            sample_ratio: 0.01,
        }
    }
}

impl OpenTelemetryConfig {
    /// Where spans are sent: the configured address, else the one in
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`; `None`: nowhere.
    #[must_use]
    pub fn effective_endpoint(&self) -> Option<String> {
        let configured = Some(self.endpoint.clone()).filter(|e| !e.is_empty());
        configured.or_else(|| {
            std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT")
                .ok()
                .filter(|e| !e.is_empty())
        })
    }
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::None => LevelFilter::OFF,
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The collector's address is not usable.
    #[error("opentelemetry.endpoint is not usable")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// There is a subscriber already.
    #[error("logs are set up already")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
}

/// The process's telemetry; keep it until the end and call
/// [`Telemetry::shutdown`] last.
#[derive(Debug)]
#[must_use = "call shutdown at the end, or the last spans are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs (to standard error) and, if a collector is configured, traces.
/// Call it inside the Tokio runtime, once.
///
/// # Errors
/// The collector's address is malformed, or it was called before. A collector
/// that is down is not an error.
pub fn init(
    service: &'static str,
    log: &LogConfig,
    opentelemetry: &OpenTelemetryConfig,
) -> Result<Telemetry, TelemetryError> {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let level = log.level.filter();
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let lines = lines.with_filter(quiet(level, level.min(LevelFilter::WARN)));

    let provider = opentelemetry
        .effective_endpoint()
        .map(|endpoint| tracer_provider(service, &endpoint, opentelemetry.sample_ratio))
        .transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_location(false)
            .with_threads(false)
            .with_filter(quiet(LevelFilter::INFO, LevelFilter::OFF))
    });

    tracing_subscriber::registry()
        .with(lines)
        .with(traces)
        .try_init()?;
    Ok(Telemetry { provider })
}

fn quiet(ours: LevelFilter, noisy: LevelFilter) -> Targets {
    Targets::new()
        .with_default(ours)
        .with_targets(NOISY.map(|target| (target, noisy)))
}

fn tracer_provider(
    service: &'static str,
    endpoint: &str,
    ratio: f64,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(Resource::builder().with_service_name(service).build())
        .build())
}

impl Telemetry {
    /// Sends the last spans, at most three seconds.
    ///
    /// The SDK's flush blocks and needs the runtime to run on meanwhile, so it
    /// gets a thread of its own; one that hangs does not hold up the end.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else {
            return;
        };
        let (done, flushed) = tokio::sync::oneshot::channel();
        let flush = std::thread::Builder::new()
            .name("telemetry-flush".to_owned())
            .spawn(move || done.send(provider.shutdown_with_timeout(FLUSH_TIMEOUT)));
        if let Err(error) = flush {
            tracing::warn!(%error, "the last spans are lost: no thread to send them");
            return;
        }
        match tokio::time::timeout(FLUSH_TIMEOUT, flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans may be lost"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last spans may be lost: flush timed out"),
        }
    }
}

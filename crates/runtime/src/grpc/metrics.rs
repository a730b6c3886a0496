//! Counts and durations of the calls that a server answers.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Metrics of the calls that a server answers. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Answer, Counter>,
    durations: Family<Method, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new([
                    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
                    5.0,
                ])
            }),
        }
    }
}

impl Metrics {
    /// New metrics, registered.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register(
            "grpc_server_requests",
            "gRPC calls answered, by method and status code",
            this.requests.clone(),
        );
        registry.register(
            "grpc_server_duration_seconds",
            "Time until the answer to a gRPC call begins, by method",
            this.durations.clone(),
        );
        this
    }

    pub(super) fn observe(&self, method: &str, code: tonic::Code, took: Duration) {
        // A path that names no method comes from outside: as a label it would
        // let a caller grow the metrics without a bound.
        let method = if code == tonic::Code::Unimplemented {
            "unknown"
        } else {
            method
        };
        self.requests
            .get_or_create(&Answer {
                method: method.to_owned(),
                code: code_name(code),
            })
            .inc();
        self.durations
            .get_or_create(&Method {
                method: method.to_owned(),
            })
            .observe(took.as_secs_f64());
    }
}

/// The code as gRPC spells it.
pub(super) fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

//! The services behind the gateway: calls from clients, permission to subscribe,
//! and the logs of anchored channels. Nothing in here knows a particular service.

use std::sync::Arc;
use std::time::Instant;

use broker::{History, Position, Publication};
use bytes::Bytes;
use hashbrown::HashMap;
use proto::log::v1::log_service_client::LogServiceClient;
use proto::log::v1::{AuthorizeSubscribeRequest, ReadLogRequest};
use runtime::grpc::Outgoing;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::{ErrorCode, Format};

pub(crate) use transcode::{Caller, Client};

use crate::metrics::{Metrics, ResultLabels};
use crate::node::ReadError;

/// A service's word about a subscription.
#[derive(Debug)]
pub(crate) enum Authorization {
    /// Yes.
    Granted {
        /// Shown to others in the channel.
        info: Bytes,
    },
    /// No.
    Denied,
}

/// A service that keeps logs: where it is, and what our calls carry.
pub(crate) type LogSource = LogServiceClient<InterceptedService<Channel, Outgoing>>;

/// See [`LogSource`].
pub(crate) fn log_source(channel: Channel, outgoing: Outgoing) -> LogSource {
    LogServiceClient::with_interceptor(channel, outgoing)
}

/// See the module.
pub(crate) struct Services {
    calls: Option<transcode::Services>,
    logs: HashMap<String, LogSource>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("logs", &self.logs.keys())
            .finish_non_exhaustive()
    }
}

impl Services {
    /// The configured services; without any, every call is answered with 108.
    pub(crate) fn new(
        calls: Option<transcode::Services>,
        logs: HashMap<String, LogSource>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            calls,
            logs,
            metrics,
        }
    }

    /// Whether any service can be called.
    pub(crate) fn has_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// Calls a method of a service for a client or a backend.
    ///
    /// # Errors
    /// What the client is answered with.
    pub(crate) async fn call(
        &self,
        method: &str,
        payload: &Bytes,
        format: Format,
        caller: Caller,
    ) -> Result<Bytes, wire::Error> {
        let Some(calls) = &self.calls else {
            return Err(ErrorCode::NOT_AVAILABLE.into());
        };
        let format = match format {
            Format::Json => transcode::PayloadFormat::Json,
            Format::Protobuf => transcode::PayloadFormat::Protobuf,
        };
        let began = Instant::now();
        let called = calls
            .call(transcode::Call {
                method,
                payload,
                format,
                caller,
                traceparent: runtime::trace::current_traceparent(),
            })
            .await;
        let result = match &called {
            Ok(_) => "ok",
            Err(error) if error.temporary => "unavailable",
            Err(_) => "error",
        };
        self.observe(began, result);
        called.map_err(|error| wire::Error {
            code: ErrorCode(error.code),
            message: error.message,
            temporary: error.temporary,
        })
    }

    fn observe(&self, began: Instant, result: &'static str) {
        self.metrics
            .service_duration
            .observe(began.elapsed().as_secs_f64());
        self.metrics
            .service_calls
            .get_or_create(&ResultLabels { result })
            .inc();
    }

    /// Asks a service whether a user may subscribe to a channel.
    ///
    /// # Errors
    /// What the client is answered with when the service does not answer.
    pub(crate) async fn authorize_subscribe(
        &self,
        service: &str,
        channel: &str,
        user: &str,
    ) -> Result<Authorization, wire::Error> {
        let request = AuthorizeSubscribeRequest {
            channel: channel.to_owned(),
            user: user.to_owned(),
        };
        let began = Instant::now();
        let asked = match self.logs.get(service).cloned() {
            Some(mut source) => source.authorize_subscribe(request).await,
            None => return Err(ErrorCode::NOT_AVAILABLE.into()),
        };
        match asked {
            Ok(answer) => {
                self.observe(began, "ok");
                Ok(Authorization::Granted {
                    info: answer.into_inner().info,
                })
            }
            Err(status) if matches!(status.code(), Code::PermissionDenied | Code::NotFound) => {
                self.observe(began, "ok");
                Ok(Authorization::Denied)
            }
            Err(status) => {
                self.observe(began, "unavailable");
                log_failure(service, "AuthorizeSubscribe", &status);
                Err(ErrorCode::INTERNAL.into())
            }
        }
    }

    /// Reads a channel's log at a service, after an offset.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub(crate) async fn read_log(
        &self,
        service: &str,
        channel: &str,
        since_offset: u64,
        limit: u32,
    ) -> Result<History, ReadError> {
        let Some(mut source) = self.logs.get(service).cloned() else {
            return Err(ReadError::Unavailable(format!(
                "service `{service}` is not configured"
            )));
        };
        let began = Instant::now();
        let request = ReadLogRequest {
            channel: channel.to_owned(),
            epoch: String::new(),
            since_offset,
            limit,
        };
        let read = source.read_log(request).await.map_err(|status| {
            self.observe(began, "unavailable");
            log_failure(service, "ReadLog", &status);
            ReadError::Unavailable(status.code().to_string())
        })?;
        self.observe(began, "ok");
        let read = read.into_inner();
        let publications = read.publications.into_iter().map(|one| Publication {
            offset: one.offset,
            data: one.data,
            tags: one.tags.into_iter().collect(),
            time: one.time_ms,
            ends_user: (!one.ends_user.is_empty()).then(|| one.ends_user.as_str().into()),
            ..Publication::default()
        });
        Ok(History {
            publications: publications.collect(),
            position: Position {
                epoch: read.epoch.as_str().into(),
                offset: read.top_offset,
            },
        })
    }
}

fn log_failure(service: &str, method: &str, status: &Status) {
    tracing::warn!(service, method, code = ?status.code(), message = status.message(), "a service failed");
}

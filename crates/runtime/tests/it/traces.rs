use std::time::Duration;

use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use runtime::config::Secret;
use runtime::grpc::{Outgoing, ServeOptions, duplex_channel, serve};
use runtime::telemetry::{LogConfig, OpenTelemetryConfig};
use runtime::trace;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::{Service as _, ServiceExt as _};
use tracing::Instrument as _;

const DEADLINE: Duration = Duration::from_secs(5);

/// A collector that hands on what it is sent.
#[derive(Debug)]
struct Collector(mpsc::Sender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|r| r.scope_spans);
        for span in scopes.flat_map(|s| s.spans) {
            self.0.send(span).await.unwrap();
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Answers nothing but success.
fn routes() -> Routes {
    async fn answer() -> [(&'static str, &'static str); 2] {
        [("content-type", "application/grpc"), ("grpc-status", "0")]
    }
    let router = Routes::default().into_axum_router();
    Routes::from(router.route("/test.Echo/Call", post(answer)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_crosses_a_call_and_the_last_spans_reach_the_collector() {
    let (spans, mut collected) = mpsc::channel(64);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let collector = tokio::spawn(serve(
        listener,
        Routes::new(TraceServiceServer::new(Collector(spans))),
        ServeOptions::default(),
        stop.clone(),
        DEADLINE,
    ));
    let telemetry = runtime::telemetry::init(
        "test",
        &LogConfig::default(),
        &OpenTelemetryConfig {
            endpoint,
            sample_ratio: 0.0,
        },
    )
    .unwrap();

    // Nothing that begins here is recorded, but what a caller records is.
    let remote = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let span = tracing::info_span!("client command");
    trace::set_parent(&span, remote);
    let channel = duplex_channel(
        routes(),
        ServeOptions::default(),
        DEADLINE,
        stop.clone(),
        Duration::ZERO,
    );
    async {
        let current = trace::current_traceparent().unwrap();
        assert!(
            current.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
            "{current}"
        );
        let mut metadata = MetadataMap::new();
        let outgoing = Outgoing::new("test", &Secret::default(), DEADLINE).unwrap();
        outgoing.apply(&mut metadata);
        let mut request = http::Request::post("http://in-process/test.Echo/Call")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap();
        request.headers_mut().extend(metadata.into_headers());
        let mut channel = channel.clone();
        channel.ready().await.unwrap().call(request).await.unwrap();
    }
    .instrument(span)
    .await;
    tracing::info_span!("unrecorded").in_scope(|| {});
    telemetry.shutdown().await;

    let mut found = Vec::new();
    while let Ok(span) = collected.try_recv() {
        found.push(span);
    }
    let by_name = |name: &str| {
        let span = found.iter().find(|span| span.name == name);
        span.unwrap_or_else(|| panic!("no span {name:?} in {found:#?}"))
    };
    let (command, call) = (by_name("client command"), by_name("test.Echo/Call"));
    assert_eq!(call.parent_span_id, command.span_id);
    assert_eq!(call.trace_id, command.trace_id);
    assert_eq!(
        command.parent_span_id,
        [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]
    );
    assert_eq!(found.len(), 2, "{found:#?}");

    stop.cancel();
    collector.await.unwrap().unwrap();
}

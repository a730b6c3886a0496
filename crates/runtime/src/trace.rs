//! Trace context across process borders, as W3C `traceparent`.
//!
//! Without a trace exporter all of this does nothing and costs next to nothing.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{MetadataKey, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header and metadata key.
pub const TRACEPARENT: &str = "traceparent";

/// The current span as a `traceparent`; `None` if nothing is traced here.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let current = Span::current();
    // Asked for with every publication, and nearly always so.
    if current.is_none() {
        return None;
    }
    let context = current.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags().to_u8() & 1
        )
    })
}

/// Makes `span` a child of the remote span that `traceparent` names. Call it
/// before the span is entered. Malformed text is ignored: it comes from outside.
pub fn set_parent(span: &Span, traceparent: &str) {
    struct One<'a>(&'a str);

    impl Extractor for One<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == TRACEPARENT).then_some(self.0)
        }

        fn keys(&self) -> Vec<&str> {
            vec![TRACEPARENT]
        }
    }

    set_parent_from(span, &One(traceparent));
}

/// Makes `span` a child of the caller's span in gRPC metadata, if there is one.
pub fn extract(span: &Span, metadata: &MetadataMap) {
    struct Metadata<'a>(&'a MetadataMap);

    impl Extractor for Metadata<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            Vec::new()
        }
    }

    set_parent_from(span, &Metadata(metadata));
}

/// Makes `span` a child of the caller's span in HTTP headers, if there is one.
pub fn extract_http(span: &Span, headers: &http::HeaderMap) {
    struct Headers<'a>(&'a http::HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            Vec::new()
        }
    }

    set_parent_from(span, &Headers(headers));
}

/// Adds the current span to gRPC metadata.
pub fn inject(metadata: &mut MetadataMap) {
    struct Metadata<'a>(&'a mut MetadataMap);

    impl Injector for Metadata<'_> {
        fn set(&mut self, key: &str, value: String) {
            if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
                self.0.insert(key, value);
            }
        }
    }

    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut Metadata(metadata));
    }
}

fn set_parent_from(span: &Span, carrier: &dyn Extractor) {
    if carrier.get(TRACEPARENT).is_none() {
        return;
    }
    let context = TraceContextPropagator::new().extract(carrier);
    if context.span().span_context().is_valid() {
        // Fails without an exporter's layer: then there is nothing to relate.
        let _ = span.set_parent(context);
    }
}

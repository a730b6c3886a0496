//! Centrifugo's keys whose feature does not exist here yet.

/// Written for both `channel.without_namespace` and `channel.namespaces[]`.
macro_rules! keys {
    ([$($key:literal),* $(,)?], [$($option:literal),* $(,)?]) => {
        &[
            $($key,)*
            $(concat!("channel.without_namespace.", $option),)*
            $(concat!("channel.namespaces[].", $option),)*
        ]
    };
}

/// See [`runtime::config::Schema::UNSUPPORTED`].
pub(super) const KEYS: &[&str] = keys!(
    [
        "admin",
        "broker",
        "channel.proxy",
        "client.channel_position_max_time_lag",
        "client.concurrency",
        "client.connect_code_to_unidirectional_disconnect",
        "client.insecure_skip_token_signature_verify",
        "client.proxy",
        "consumers",
        "controller",
        "debug",
        "emulation.max_request_body_size",
        "engine.redis.force_resp2",
        "engine.redis.master_name",
        "engine.redis.sentinel_address",
        "engine.redis.sentinel_password",
        "engine.redis.sentinel_user",
        "engine.redis.tls",
        "graphite",
        "grpc_api",
        "http_server.http3",
        "http_server.internal_tls",
        "http_server.tls.insecure_skip_verify",
        "http_server.tls.server_ca_pem",
        "http_server.tls.server_name",
        "http_server.tls_autocert",
        "http_stream",
        "node.info_metrics_aggregate_interval",
        "opentelemetry.api",
        "opentelemetry.consuming",
        "opentelemetry.enabled",
        "pid_file",
        "presence_manager",
        "prometheus.instrument_http_handlers",
        "proxies",
        "rpc.namespaces",
        "rpc.proxy",
        "rpc.without_namespace",
        "sse",
        "swagger",
        "uni_grpc",
        "uni_http_stream",
        "uni_sse",
        "uni_websocket",
        "usage_stats",
        "websocket.compression",
        "websocket.compression_min_size",
        "websocket.compression_level",
        "websocket.read_buffer_size",
        "websocket.write_buffer_size",
        "websocket.use_write_buffer_pool",
        "webtransport",
    ],
    [
        "auto_cache_recover",
        "keep_latest_publication",
        "map",
        "map_clients_presence_channel_prefix",
        "map_users_presence_channel_prefix",
        "publish_proxy_enabled",
        "publish_proxy_name",
        "shared_poll",
        "sub_refresh_proxy_enabled",
        "sub_refresh_proxy_name",
        "subscribe_proxy_enabled",
        "subscribe_proxy_name",
        "subscribe_stream_bidirectional",
        "subscribe_stream_proxy_enabled",
        "subscribe_stream_proxy_name",
    ]
);

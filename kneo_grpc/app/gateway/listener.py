"""Listeners and their filters: one port speaks JSON, gRPC and gRPC-Web."""

from datetime import timedelta
from importlib.resources import files
from typing import Any

from kneo_grpc.app.gateway import headers
from kneo_grpc.app.gateway.bodies import body_table
from kneo_grpc.app.gateway.limits import rate_limit
from kneo_grpc.app.gateway.replies import local_replies
from kneo_grpc.app.gateway.routes import methods_by_path, streaming_paths
from kneo_grpc.app.gateway.settings import GatewaySettings

Config = dict[str, Any]

CLUSTER = "kneo_service"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_LOGGERS = "type.googleapis.com/envoy.extensions.access_loggers"
_TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
_LUA = "envoy.filters.http.lua"
_LUA_FILES = ("bodies.lua", "edge.lua")
_GRPC = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def listeners(settings: GatewaySettings) -> list[Config]:
    """Return the plaintext and the TLS listener, as far as they have a port."""
    found = []
    if settings.port is not None:
        found.append(_listener(settings, "http", settings.port))
    if settings.tls_port is not None:
        listener = _listener(settings, "https", settings.tls_port)
        listener["filter_chains"][0]["transport_socket"] = _tls(settings)
        found.append(listener)
    return found


def _listener(settings: GatewaySettings, name: str, port: int) -> Config:
    chain = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": _connection_manager(settings),
            }
        ]
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": settings.address, "port_value": port}},
        # Two services must not share a port by accident.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "filter_chains": [chain],
    }


def _tls(settings: GatewaySettings) -> Config:
    pair = {
        "certificate_chain": {"filename": str(settings.certificate)},
        "private_key": {"filename": str(settings.private_key)},
    }
    common: Config = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [pair],
    }
    context: Config = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
        ".DownstreamTlsContext",
        "common_tls_context": common,
    }
    if settings.client_ca is not None:
        # Whoever shows a certificate must show a good one, whether it is required or not.
        common["validation_context"] = {"trusted_ca": {"filename": str(settings.client_ca)}}
        context["require_client_certificate"] = settings.client_required
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _connection_manager(settings: GatewaySettings) -> Config:
    manager: Config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        "server_name": "kneo",
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.trusted_hops,
        # No caller is internal: internal ones could set x-envoy-* to steer the proxy.
        "internal_address_config": {"unix_sockets": False},
        "early_header_mutation_extensions": headers.early_mutations(),
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": "10s",
        "stream_idle_timeout": _seconds(_silence(settings)),
        "drain_timeout": "1s",
        "max_request_headers_kb": 60,
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "900s",
            "max_headers_count": 100,
        },
        "http2_protocol_options": {
            "max_concurrent_streams": settings.max_streams,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "local_reply_config": local_replies(settings.max_body_bytes),
        "http_filters": _http_filters(settings),
        "route_config": _routes(settings),
    }
    if settings.access_log:
        manager["access_log"] = [_access_log()]
    return manager


def _access_log() -> Config:
    line = {
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        # Without the query: it may carry what callers should not have put there.
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
        "duration_ms": "%DURATION%",
        "service_ms": "%RESPONSE_DURATION%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "protocol": "%PROTOCOL%",
        "tls": "%DOWNSTREAM_TLS_VERSION%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "flags": "%RESPONSE_FLAGS%",
        "detail": "%RESPONSE_CODE_DETAILS%",
    }
    # Never a header that may hold a key, never the query.
    config = {
        "@type": f"{_LOGGERS}.stream.v3.StdoutAccessLog",
        "log_format": {"json_format": line},
    }
    return {"name": "envoy.access_loggers.stdout", "typed_config": config}


def _http_filters(settings: GatewaySettings) -> list[Config]:
    transcoder = {
        "proto_descriptor": str(settings.descriptor),
        "services": list(settings.services),
        "match_incoming_request_route": True,
        "convert_grpc_status": False,
        "max_request_body_size": settings.max_body_bytes,
        "max_response_body_size": settings.max_response_bytes,
        "print_options": {
            "preserve_proto_field_names": True,
            "always_print_primitive_fields": True,
        },
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }
    limit = rate_limit(settings)
    limits = []
    if limit is not None:
        kind = "local_ratelimit.v3.LocalRateLimit"
        limits = [_filter("envoy.filters.http.local_ratelimit", kind, limit)]
    return [
        _filter("envoy.filters.http.cors", "cors.v3.Cors", {}),
        _filter("envoy.filters.http.grpc_web", "grpc_web.v3.GrpcWeb", {}),
        *limits,
        _filter(headers.FILTER, "header_mutation.v3.HeaderMutation", {}),
        # The transcoder's own limit is checked after the fact only.
        _filter(
            "envoy.filters.http.buffer",
            "buffer.v3.Buffer",
            {"max_request_bytes": settings.max_body_bytes},
        ),
        _filter(_LUA, "lua.v3.Lua", {"default_source_code": {"inline_string": _lua(settings)}}),
        _filter(_TRANSCODER, "grpc_json_transcoder.v3.GrpcJsonTranscoder", transcoder),
        _filter("envoy.filters.http.router", "router.v3.Router", {"suppress_envoy_headers": True}),
    ]


def _lua(settings: GatewaySettings) -> str:
    folder = files(__package__)
    parts = [folder.joinpath(name).read_text(encoding="utf-8") for name in _LUA_FILES]
    return "\n".join([body_table(settings.descriptor, settings.services), *parts])


def _filter(name: str, kind: str, config: Config) -> Config:
    return {"name": name, "typed_config": {"@type": f"{_FILTERS}.{kind}", **config}}


def _routes(settings: GatewaySettings) -> Config:
    hosts: Config = {
        "name": "service",
        "domains": list(_LOOPBACK) if settings.loopback_hosts_only else ["*"],
        "routes": [
            _native_route(settings),
            *_method_routes(settings),
            *_stream_routes(settings),
            *_json_routes(settings),
        ],
        "retry_policy": _RETRY,
        "typed_per_filter_config": {"envoy.filters.http.cors": _cors(settings)},
    }
    virtual_hosts = [hosts]
    if settings.loopback_hosts_only:
        virtual_hosts.append(_other_hosts())
    return {
        "name": "routes",
        "virtual_hosts": virtual_hosts,
        "ignore_port_in_host_matching": True,
        "request_headers_to_add": [_set(name, value) for name, value in _FACTS.items()],
    }


# What the service believes from this gateway alone.
_FACTS = {
    "x-kneo-peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "x-kneo-client-uri": "%DOWNSTREAM_PEER_URI_SAN%",
    "x-kneo-client-dns": "%DOWNSTREAM_PEER_DNS_SAN%",
}


def _set(name: str, value: str) -> Config:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


# Only where the service cannot have seen the request, so that no POST is done twice.
_RETRY: Config = {
    "retry_on": "connect-failure,reset-before-request,refused-stream",
    "num_retries": 3,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host"
                ".previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 3,
}


def _native_route(settings: GatewaySettings) -> Config:
    return {
        # Not `grpc: {}`: it would miss gRPC-Web, whose type is translated after the choice.
        "match": {"prefix": "/", "headers": [_GRPC]},
        "route": {
            "cluster": CLUSTER,
            # Callers bring their own deadline; streams may have none.
            "timeout": "0s",
            "idle_timeout": _seconds(_silence(settings)),
        },
        "typed_per_filter_config": {
            # The buffer holds up streams in both directions.
            "envoy.filters.http.buffer": {
                "@type": f"{_FILTERS}.buffer.v3.BufferPerRoute",
                "disabled": True,
            }
        },
    }


def _json_routes(settings: GatewaySettings) -> list[Config]:
    """Reads are answered soon; what may wait for a run has longer."""
    read = {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]}
    found = []
    for match, timeout in (
        (read, settings.read_timeout),
        ({"prefix": "/"}, settings.request_timeout),
    ):
        route = _json_route(settings, match, timeout)
        # The timeout counts from the request's end; a caller who never ends it must not stay.
        route["route"]["max_stream_duration"] = {"max_stream_duration": _seconds(timeout * 2)}
        found.append(route)
    return found


def _stream_routes(settings: GatewaySettings) -> list[Config]:
    """A stream lasts as long as it speaks."""
    paths = streaming_paths(settings.descriptor, settings.services)
    if paths is None:
        return []
    route = _json_route(settings, {"safe_regex": {"regex": paths}}, timedelta(0))
    route["route"]["idle_timeout"] = _seconds(settings.stream_idle_timeout)
    return [route]


def _json_route(settings: GatewaySettings, match: Config, timeout: timedelta) -> Config:
    return {
        "match": match,
        "route": {"cluster": CLUSTER, "timeout": _seconds(timeout)},
        "metadata": {"filter_metadata": {_LUA: {"cors_origins": list(settings.cors_origins)}}},
        "typed_per_filter_config": {headers.FILTER: headers.json_mutations()},
    }


def _method_routes(settings: GatewaySettings) -> list[Config]:
    """Answer 405 where the path is known and the method is not; the transcoder knows only 404."""
    found = []
    for methods, paths in methods_by_path(settings.descriptor, settings.services).items():
        known = {"safe_regex": {"regex": "|".join(sorted(methods))}}
        other = {"name": ":method", "string_match": known, "invert_match": True}
        # A preflight is the cors filter's, which does not look at direct responses.
        ask = {
            "name": "access-control-request-method",
            "present_match": True,
            "invert_match": True,
        }
        found.append(
            {
                "match": {"safe_regex": {"regex": paths}, "headers": [other, ask]},
                "direct_response": {"status": 405},
                "response_headers_to_add": [
                    {"header": {"key": "allow", "value": ", ".join(sorted(methods))}}
                ],
                "typed_per_filter_config": {
                    _TRANSCODER: _disabled(),
                    headers.FILTER: headers.json_mutations(),
                },
            }
        )
    return found


def _other_hosts() -> Config:
    """Answer 421: a web page that rebinds its name to this address must not get through."""
    return {
        "name": "others",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 421}}],
        "typed_per_filter_config": {
            _TRANSCODER: _disabled(),
            headers.FILTER: headers.json_mutations(),
        },
    }


def _disabled() -> Config:
    return {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}


def _cors(settings: GatewaySettings) -> Config:
    if "*" in settings.cors_origins:
        origins: list[Config] = [{"safe_regex": {"regex": ".*"}}]
    else:
        origins = [{"exact": origin} for origin in settings.cors_origins]
    return {
        "@type": f"{_FILTERS}.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins,
        "allow_methods": "GET, POST, PUT",
        "allow_headers": "authorization, content-type, idempotency-key, traceparent,"
        " x-kneo-api-key, x-request-id, grpc-timeout, x-grpc-web, x-user-agent",
        "expose_headers": "retry-after, x-request-id,"
        " grpc-status, grpc-message, grpc-status-details-bin",
        "max_age": "600",
    }


def _silence(settings: GatewaySettings) -> timedelta:
    """How long any call may be silent: a create that waits for its run is, for all of its time."""
    return max(settings.stream_idle_timeout, settings.request_timeout)


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.3f}s"

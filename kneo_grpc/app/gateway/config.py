"""Envoy's whole configuration, built as data and dumped: no value can change the YAML's shape."""

import ipaddress
from pathlib import Path
from typing import Any

import yaml

from kneo_grpc.app.gateway.limits import overload_manager
from kneo_grpc.app.gateway.listener import CLUSTER, listeners
from kneo_grpc.app.gateway.settings import GatewaySettings
from kneo_grpc.domain.errors import StartRefused

Config = dict[str, Any]


# The paths of one method make one expression, a little above Envoy's limit of 100.
_RUNTIME: Config = {"re2": {"max_program_size": {"error_level": 2000, "warn_level": 2000}}}


def render(settings: GatewaySettings) -> str:
    """Return Envoy's bootstrap as YAML. Raises StartRefused when the settings make no gateway."""
    _check(settings)
    config: Config = {
        "node": {"id": "kneo-gateway", "cluster": "kneo"},
        "overload_manager": overload_manager(settings),
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        "static_resources": {
            "listeners": listeners(settings),
            "clusters": [_cluster(settings)],
        },
    }
    admin = _admin(settings)
    if admin is not None:
        config["admin"] = admin
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=100)


def _check(settings: GatewaySettings) -> None:
    if not settings.ports:
        raise StartRefused("the gateway has neither a port nor a TLS port")
    if not settings.upstreams:
        raise StartRefused("the gateway has no upstream socket")
    if settings.tls_port is not None and None in (settings.certificate, settings.private_key):
        raise StartRefused("the gateway's TLS port needs a certificate and its key")
    if settings.client_ca is not None and settings.tls_port is None:
        raise StartRefused("clients' certificates need a TLS port")
    if not settings.descriptor.is_file():
        raise StartRefused(f"the contract's descriptor is missing: {settings.descriptor}")


def _upstream_address(upstream: Path | str) -> Config:
    if isinstance(upstream, Path):
        return {"pipe": {"path": str(upstream)}}
    host, _, port = upstream.rpartition(":")
    try:
        address = str(
            ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        )
        number = int(port)
    except ValueError:
        raise StartRefused(f"upstream {upstream!r} is not of the form IP:port") from None
    if not 0 < number < 65536:
        raise StartRefused(f"upstream {upstream!r}: there is no such port")
    return {"socket_address": {"address": address, "port_value": number}}


def _admin(settings: GatewaySettings) -> Config | None:
    if settings.admin_socket is not None:
        return {"address": {"pipe": {"path": str(settings.admin_socket), "mode": 0o600}}}
    if settings.admin_port:
        # Loopback only: whoever reaches the admin interface can stop the gateway.
        socket = {"address": "127.0.0.1", "port_value": settings.admin_port}
        return {"address": {"socket_address": socket}}
    return None


def _cluster(settings: GatewaySettings) -> Config:
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    # Far above what the service admits: it answers queue_full itself, with a reason.
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 16_384)
    endpoints = [
        {"endpoint": {"address": _upstream_address(upstream)}} for upstream in settings.upstreams
    ]
    # Neither health checks nor outlier ejection: /livez must reach a service that is not ready.
    return {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [{**limits, "max_retries": 64}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": endpoints}],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes the Lua filter as a readable block, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)

"""Limits on callers: calls a minute by key and by address, and what Envoy does when it is full."""

import math
from typing import Any

from kneo_grpc.app.gateway.settings import GatewaySettings

Config = dict[str, Any]

_KEY_HEADERS = ("authorization", "x-kneo-api-key")
_CALLERS_MAX = 10_000
"""So many keys and addresses are counted; the one that called longest ago is forgotten first."""

_BURST_SECONDS = 10
_FILLS_A_MINUTE = 1200
"""Envoy fills a bucket every 50 ms at the most often."""


def rate_limit(settings: GatewaySettings) -> Config | None:
    """Return the configuration of Envoy's local_ratelimit filter; None where nothing is limited.

    A key's bucket holds ten seconds' worth. Each process of Envoy counts for itself. The key is
    counted as it is presented, whether it is valid or not, so that guessing is bounded too.
    """
    if not settings.key_rate and not settings.address_rate:
        return None
    actions: list[Config] = []
    buckets: list[Config] = []
    if settings.key_rate:
        for header in _KEY_HEADERS:
            actions.append({"request_headers": {"header_name": header, "descriptor_key": header}})
            buckets.append(_descriptor(header, settings.key_rate))
    if settings.address_rate:
        actions.append({"remote_address": {}})
        buckets.append(_descriptor("remote_address", settings.address_rate))
    full = {"numerator": 100, "denominator": "HUNDRED"}
    waits = [60 / rate for rate in (settings.key_rate, settings.address_rate) if rate]
    return {
        "stat_prefix": "callers",
        # Callers without a bucket of their own have this one: in effect none.
        "token_bucket": {
            "max_tokens": 1_000_000,
            "tokens_per_fill": 1_000_000,
            "fill_interval": "1s",
        },
        "filter_enabled": {"default_value": full},
        "filter_enforced": {"default_value": full},
        "rate_limits": [{"actions": [action]} for action in actions],
        "descriptors": buckets,
        "max_dynamic_descriptors": _CALLERS_MAX,
        "rate_limited_as_resource_exhausted": True,
        "response_headers_to_add": [
            {
                "header": {"key": "retry-after", "value": str(math.ceil(max(waits)))},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _descriptor(key: str, rate: int) -> Config:
    """Return a descriptor without a value: Envoy makes a bucket for each value that it meets."""
    burst = max(1, rate * _BURST_SECONDS // 60)
    tokens = math.ceil(rate / _FILLS_A_MINUTE)
    return {
        "entries": [{"key": key}],
        "token_bucket": {
            "max_tokens": burst,
            "tokens_per_fill": tokens,
            "fill_interval": f"{60 * tokens / rate:.3f}s",
        },
    }


def overload_manager(settings: GatewaySettings) -> Config:
    """Return Envoy's overload_manager: connections are bounded, and so is its memory."""
    prefix = "type.googleapis.com/envoy.extensions.resource_monitors"
    connections = {
        "@type": f"{prefix}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": settings.max_connections,
    }
    heap = {
        "@type": f"{prefix}.fixed_heap.v3.FixedHeapConfig",
        "max_heap_size_bytes": settings.max_heap_bytes,
    }
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": connections,
            },
            {"name": _HEAP, "typed_config": heap},
        ],
        "actions": [
            _action("shrink_heap", 0.9),
            _action("disable_http_keepalive", 0.92),
            # Answers 503 with retry-after; what is under way goes on.
            _action("stop_accepting_requests", 0.95),
            _action("stop_accepting_connections", 0.98),
        ],
    }


_HEAP = "envoy.resource_monitors.fixed_heap"


def _action(name: str, threshold: float) -> Config:
    return {
        "name": f"envoy.overload_actions.{name}",
        "triggers": [{"name": _HEAP, "threshold": {"value": threshold}}],
    }

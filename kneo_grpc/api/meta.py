"""MetaService."""

import importlib.resources
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.api import httpbody_pb2
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from kneo_grpc._gen.kneo.v1 import meta_pb2, meta_pb2_grpc
from kneo_grpc.domain.errors import NotFound
from kneo_grpc.platform.metrics import Measured, Metrics

_HELP = {
    "runs_started": "Runs created by this process.",
    "runs_completed": "Runs that completed in this process.",
    "runs_failed": "Runs that failed in this process.",
    "runs_dead_lettered": "Runs given up by this process because they lost too many workers.",
    "runs_rejected": "Calls that this process refused because the queue or itself was full.",
    "runs_queued": "Runs that wait for a worker, in the whole database.",
    "runs_running": "Runs that are leased, in the whole database.",
    "worker_count": "Workers in this process.",
}


class MetaServicer(meta_pb2_grpc.MetaServiceServicer):
    """Describes the service to programs. metrics: None where they are switched off."""

    def __init__(self, metrics: Metrics | None, version: str) -> None:
        self._metrics = metrics
        self._version = version
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)

    async def GetOpenApi(
        self, request: meta_pb2.GetOpenApiRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """See meta.proto."""
        return httpbody_pb2.HttpBody(
            content_type="application/json", data=openapi_document(self._version)
        )

    async def GetMetrics(
        self, request: meta_pb2.GetMetricsRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """See meta.proto."""
        if self._metrics is None:
            raise NotFound("metrics are switched off")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Runs(await self._metrics.read()))
        text = generate_latest(registry) + generate_latest(self._process)
        return httpbody_pb2.HttpBody(content_type=CONTENT_TYPE_PLAIN_0_0_4, data=text)


class _Runs(Collector):
    """Shows what was measured in the library's terms."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        for name, count in self._measured.counters.items():
            yield CounterMetricFamily(f"kneo_{name}", _HELP[name], value=count)
        for name, count in self._measured.gauges.items():
            yield GaugeMetricFamily(f"kneo_{name}", _HELP[name], value=count)


@lru_cache(maxsize=1)
def openapi_document(version: str) -> bytes:
    """Return the OpenAPI document of this release as JSON."""
    file = importlib.resources.files("kneo_grpc") / "_gen" / "openapi.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["info"]["version"] = version
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

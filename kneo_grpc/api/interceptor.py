"""The one interceptor. Its steps, in order: request id, principal and scope, size, redaction of
what leaves, error table, log line.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpc

from kneo_grpc.api.call import Call, set_call
from kneo_grpc.api.errors import message_of, status_of, trailers
from kneo_grpc.api.keys import ApiKeys
from kneo_grpc.api.policy import ANY_KEY, OPEN, POLICY
from kneo_grpc.api.redaction import AnswerRedactor
from kneo_grpc.domain.errors import (
    Forbidden,
    InvalidInput,
    KneoError,
    PayloadTooLarge,
    QueueFull,
    Unauthenticated,
)
from kneo_grpc.domain.principal import ANONYMOUS, Principal
from kneo_grpc.platform.denials import Denial, Denials
from kneo_grpc.ports.clock import IdSource
from kneo_grpc.ports.counts import RunCounts

logger = logging.getLogger("kneo_grpc.request")
faults = logging.getLogger("kneo_grpc.fault")

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
PLUMBING = ("/grpc.", "/kneo.v1.MetaService/")
"""Health, reflection, the OpenAPI document and counters: they never tell of a request."""
METRICS = "/kneo.v1.MetaService/GetMetrics"
GATEWAY_HEADERS = frozenset(
    {
        "x-kneo-peer",
        "x-kneo-client-uri",
        "x-kneo-client-dns",
        "x-envoy-original-path",
        "x-envoy-original-method",
    }
)
"""Set by the gateway, which comes over a Unix socket; from anybody else they are not read."""


# What people compare from call to call has its objects' keys in one order; to sort them in every
# answer would cost every run.
_ORDERED = frozenset({"/kneo.v1.SpecService/GetPolicyReport"})


SINGLE = frozenset({"authorization", "x-kneo-api-key", "idempotency-key"})
"""Headers that have one value; a second one makes both worthless."""

_TWICE = "\0"
"""Stands between the values of such a header; no key holds it."""

_LEFT = (grpc.StatusCode.CANCELLED, 499)
"""How a call ends whose caller did not wait for the answer."""


class Undecodable:
    """Stands for a request whose bytes are no message of the expected type."""

    def __init__(self, error: KneoError) -> None:
        self.error = error


@dataclass(slots=True)
class _Served:
    """A call as its log line tells it. principal: None for whom nobody knows."""

    rpc: str
    headers: Mapping[str, str]
    request_id: str
    begun: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    principal: Principal | None = None
    call: Call | None = None
    failure: KneoError | None = None
    left: bool = False

    def end(self) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self.begun


class EdgeInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in stubs only
    """Wraps every rpc. body_bytes_max: largest request, serialized. metrics_open: monitoring
    needs no key. counts: where refused creates are counted.
    """

    def __init__(
        self,
        *,
        keys: ApiKeys,
        ids: IdSource,
        answers: AnswerRedactor,
        denials: Denials,
        body_bytes_max: int,
        log_requests: bool = True,
        metrics_open: bool = False,
        counts: RunCounts | None = None,
    ) -> None:
        self._keys = keys
        self._denials = denials
        self._ids = ids
        self._answers = answers
        self._body_bytes_max = body_bytes_max
        self._log_requests = log_requests
        self._opened = frozenset({METRICS} if metrics_open else ())
        self._counts = counts or RunCounts()
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the rpc's handler inside our steps; None for a method that does not exist."""
        rpc = handler_call_details.method
        known = self._handlers.get(rpc)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        wrapped = self._handlers[rpc] = self._wrapped(rpc, handler)
        return wrapped

    def _wrapped(self, rpc: str, handler: Any) -> Any:
        deserialize = self._guarded(handler.request_deserializer)
        # What our steps return is bytes already, but for gRPC's own services.
        serialize = handler.response_serializer if rpc.startswith(PLUMBING) else None
        if handler.response_streaming:
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            return make(self._stream(rpc, inner), deserialize, serialize)
        return grpc.unary_unary_rpc_method_handler(
            self._unary(rpc, handler.unary_unary), deserialize, serialize
        )

    def _unary(self, rpc: str, inner: Callable[..., Awaitable[Any]]) -> Any:
        plumbing = rpc.startswith(PLUMBING)

        async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            served = self._served(rpc, context)
            try:
                self._enter(served)
                if isinstance(request, Undecodable):
                    raise request.error
                response = await inner(request, context)
                if not plumbing:
                    response = await self._answers.answer(response, ordered=rpc in _ORDERED)
                context.set_trailing_metadata((("x-request-id", served.request_id),))
                return response
            except asyncio.CancelledError:
                served.left = True
                raise
            except Exception as error:
                await self._refuse(served, context, error)
            finally:
                served.end()
                # The answer goes first: nobody waits for the line.
                asyncio.get_running_loop().call_soon(self._log, served)

        return serve

    def _stream(self, rpc: str, inner: Callable[..., Any]) -> Any:
        plumbing = rpc.startswith(PLUMBING)

        async def serve(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            served = self._served(rpc, context)
            try:
                self._enter(served)
                if isinstance(request, Undecodable):
                    raise request.error
                responses = inner(_readable(request), context)
                async for response in responses if plumbing else self._answers.stream(responses):
                    yield response
            except (asyncio.CancelledError, GeneratorExit):
                served.left = True
                raise
            except Exception as error:
                await self._refuse(served, context, error)
            finally:
                served.end()
                self._log(served)

        return serve

    def _served(self, rpc: str, context: Any) -> _Served:
        headers = _headers(context)
        return _Served(rpc, headers, self._request_id(headers))

    async def _refuse(self, served: _Served, context: Any, error: Exception) -> None:
        """End a call with its error."""
        failure = served.failure = self._known(served, error)
        self._note_denial(served)
        code, _ = status_of(failure)
        told = trailers(failure, served.request_id)
        await context.abort(code, message_of(failure), trailing_metadata=told)

    def _request_id(self, headers: Mapping[str, str]) -> str:
        """Return the caller's id where it is one and says nothing that must not be repeated."""
        sent = headers.get("x-request-id", "")
        usable = REQUEST_ID.fullmatch(sent) and self._answers.text(sent) == sent
        return sent if usable else self._ids.new("reqid")

    def _enter(self, served: _Served) -> None:
        """Find out who calls and whether they may; raises Unauthenticated or Forbidden."""
        rpc = served.rpc
        needed = OPEN if rpc in self._opened else POLICY.get(rpc)
        principal = served.principal = self._principal(served.headers)
        if needed is None:
            raise Forbidden("this method is not open to anybody")
        if needed != OPEN and principal is None:
            raise Unauthenticated("A valid Kneo service API key is required.")
        if needed not in (OPEN, ANY_KEY) and principal is not None and not principal.may(needed):
            raise Forbidden(f"Missing required scope: {needed}", required_scope=needed)
        caller = principal or Principal(
            name="stranger", roles=frozenset({"stranger"}), scopes=frozenset()
        )
        served.call = Call(
            principal=caller,
            request_id=served.request_id,
            idempotency_key=served.headers.get("idempotency-key"),
        )
        set_call(served.call)

    def _principal(self, headers: Mapping[str, str]) -> Principal | None:
        if not self._keys:
            return ANONYMOUS
        presented = _bearer(headers.get("authorization", ""))
        presented = presented or _unpadded(headers.get("x-kneo-api-key", ""))
        if presented:
            return self._keys.find(presented)
        uri, dns = headers.get("x-kneo-client-uri", ""), headers.get("x-kneo-client-dns", "")
        return self._keys.find_client(uri, dns) if uri or dns else None

    def _guarded(self, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
        """Turn what cannot be decoded into an answer: grpc would reply UNKNOWN with the decoder's
        text.
        """

        def read(content: bytes) -> Any:
            if len(content) > self._body_bytes_max:
                limit = self._body_bytes_max
                message = f"the request is larger than {limit} bytes"
                return Undecodable(PayloadTooLarge(message, max_body_bytes=limit))
            try:
                return content if deserialize is None else deserialize(content)
            except Exception:  # the decoder's own errors differ by protobuf implementation
                message = "the request is not a valid message, or is nested too deeply"
                return Undecodable(InvalidInput(message))

        return read

    def _known(self, served: _Served, error: Exception) -> KneoError:
        """Return our error without secrets; any other is logged once and becomes a generic one."""
        if isinstance(error, KneoError):
            self._counts.rejected += isinstance(error, QueueFull)
            return self._answers.error(error)
        facts = {"rpc": served.rpc, "request_id": served.request_id}
        faults.error("unexpected error", exc_info=error, extra=facts)
        return KneoError("an internal error occurred; the service's log tells more")

    def _note_denial(self, served: _Served) -> None:
        """Let the audit trail know that somebody was turned away."""
        failure, principal = served.failure, served.principal
        if not isinstance(failure, Unauthenticated | Forbidden):
            return
        denial = Denial(
            principal=principal.name if principal else None,
            method=served.rpc.rpartition(".")[2],
            reason=failure.reason,
            scope=failure.details.get("required_scope"),
        )
        self._denials.note(denial, served.headers.get("x-kneo-peer"))

    def _log(self, served: _Served) -> None:
        if not self._log_requests or not logger.isEnabledFor(logging.INFO):
            return
        headers, call, failure = served.headers, served.call, served.failure
        principal = call.principal if call else served.principal
        code, http = grpc.StatusCode.OK, call.http_status if call else 200
        if failure is not None:
            code, http = status_of(failure)
        elif served.left:
            code, http = _LEFT
        path = headers.get("x-envoy-original-path", served.rpc).partition("?")[0]
        facts: dict[str, Any] = {
            "event": "http_request",
            "request_id": served.request_id,
            "method": headers.get("x-envoy-original-method", "POST"),
            "path": path,
            "rpc": served.rpc,
            "status_code": http,
            "grpc_code": code.name,
            "duration_ms": round(served.seconds * 1000, 3),
            "principal": principal.name if principal else None,
            "run_id": call.run_id if call else None,
            "client_ip": headers.get("x-kneo-peer"),
            "user_agent": headers.get("user-agent"),
            "error": failure.reason if failure else None,
        }
        logger.info(
            "request", extra={key: value for key, value in facts.items() if value is not None}
        )


def _bearer(header: str) -> str:
    """Return the key of an authorization header; "" where it is not written in one of two ways.

    The gateway counts a key's calls by the header as it is: each further spelling of the same key
    would be allowed as many calls again.
    """
    scheme, _, token = header.partition(" ")
    return _unpadded(token) if scheme in ("Bearer", "bearer") else ""


def _unpadded(key: str) -> str:
    """Return a key; "" where blanks stand around it. See _bearer."""
    return key if key == key.strip() else ""


def _readable(request: Any) -> Any:
    """Return a request, or a stream of them that fails at the first undecodable one."""
    return _decoded(request) if isinstance(request, AsyncIterable) else request


async def _decoded(requests: AsyncIterable[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, Undecodable):
            raise request.error
        yield request


def _headers(context: Any) -> dict[str, str]:
    """Return the request's metadata. Of a name sent twice the first value counts, but of what
    decides who calls or what a repeat is: there several values are one that is nobody's key.
    """
    headers: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if key not in headers:
            headers[key] = value
        elif key in SINGLE:
            headers[key] += f"{_TWICE}{value}"
    if not GATEWAY_HEADERS.isdisjoint(headers) and not context.peer().startswith("unix:"):
        for name in GATEWAY_HEADERS:
            headers.pop(name, None)
    if "x-kneo-peer" not in headers and (address := _address(context.peer())):
        # Asked now: to ask for it when the caller has left can end the whole process.
        headers["x-kneo-peer"] = address
    return headers


@lru_cache(1024)
def _address(peer: str) -> str | None:
    """Return the IP address of a caller who comes without the gateway; None for a Unix socket."""
    kind, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else None

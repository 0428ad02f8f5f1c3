"""Calls to a deployed service by route, over HTTP/JSON or over gRPC."""

import http.client
import importlib.resources
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

Json = dict[str, Any]
_STATUSES = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
}


@dataclass(frozen=True)
class Answer:
    """status: HTTP's, or what stands for it. body: {} where there is no object."""

    status: int
    body: Json


class Calls(Protocol):
    """One way to the service."""

    def ask(self, verb: str, path: str, body: Json | None, key: str | None) -> Answer:
        """Call a route, its path without prefix. Raises OSError when there is no answer."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another place gets no key: a redirect is an answer as any other."""

    def redirect_request(self, *_: Any) -> None:
        """Ask nobody else."""


class HttpCalls:
    """HTTP/JSON. prefix: /v1 or nothing."""

    def __init__(self, base_url: str, *, prefix: str, trust: bytes | None, timeout: float) -> None:
        self._base = base_url.rstrip("/") + prefix
        self._timeout = timeout
        tls = ssl.create_default_context(cadata=trust.decode("ascii") if trust else None)
        handlers = (urllib.request.HTTPSHandler(context=tls), _NoRedirects())
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, verb: str, path: str, body: Json | None, key: str | None) -> Answer:
        """Call a route."""
        headers = {"accept": "application/json"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        data = None
        if body is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data=data, headers=headers, method=verb)
        try:
            return self._answer(request)
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self._base} does not speak HTTP: {error!r}") from error

    def _answer(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return Answer(answer.status, _object(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _object(error.read()))


class GrpcCalls:
    """The same routes as rpcs, found in the contract that this checkout has."""

    def __init__(self, base_url: str, *, prefix: str, trust: bytes | None, timeout: float) -> None:
        del prefix  # gRPC has no paths
        target = urllib.parse.urlsplit(base_url).netloc
        self._timeout = timeout
        self._channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials(trust))
            if base_url.startswith("grpcs:")
            else grpc.insecure_channel(target)
        )
        content = (importlib.resources.files("kneo_grpc") / "_gen" / "api.binpb").read_bytes()
        files = descriptor_pb2.FileDescriptorSet.FromString(content)
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self._services = [
            f"{file.package}.{service.name}"
            for file in files.file
            if file.package.startswith("kneo.")
            for service in file.service
        ]

    def ask(self, verb: str, path: str, body: Json | None, key: str | None) -> Answer:
        """Call the rpc of a route."""
        path, _, query = path.partition("?")
        found = self._find(verb, path)
        if found is None:
            return Answer(404, {"error": "not_found", "message": "the contract has no such route"})
        method, fields, place = found
        fields |= dict(urllib.parse.parse_qsl(query))
        fields |= {place: body} if place not in ("", "*") else body or {}
        # Query parameters are text, which JSON's numbers may be too.
        request = message_factory.GetMessageClass(method.input_type)()
        try:
            json_format.ParseDict(fields, request, descriptor_pool=self._pool)
        except json_format.ParseError as error:
            return Answer(400, {"error": "invalid_request", "message": str(error)})
        send = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        try:
            answer, call = send.with_call(request, timeout=self._timeout, metadata=metadata)
        except grpc.RpcError as error:
            return _failure(error)
        status = dict(call.initial_metadata()).get("x-kneo-http-status", "200")
        told = json_format.MessageToDict(
            answer,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            descriptor_pool=self._pool,
        )
        return Answer(int(status), told)

    def _find(self, verb: str, path: str) -> tuple[Any, Json, str] | None:
        """Return an rpc, the fields that its path has, and where its body goes."""
        for service in map(self._pool.FindServiceByName, self._services):
            for method in service.methods:
                options = descriptor_pb2.MethodOptions.FromString(
                    method.GetOptions().SerializeToString()
                )
                rule = options.Extensions[annotations_pb2.http]
                for item in (rule, *rule.additional_bindings):
                    template = getattr(item, verb.lower())
                    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
                    match = re.fullmatch(pattern, path) if template else None
                    if match is not None:
                        return method, match.groupdict(), item.body
        return None


def _failure(error: Any) -> Answer:
    trailers = dict(error.trailing_metadata() or ())
    if error.code() is grpc.StatusCode.UNAVAILABLE and "x-kneo-http-status" not in trailers:
        raise ConnectionError(error.details())
    status = trailers.get("x-kneo-http-status") or _STATUSES.get(error.code(), 500)
    body = _object(str(trailers.get("x-kneo-error-json", "")).encode())
    return Answer(int(status), body or {"message": error.details()})


def _object(content: bytes) -> Json:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

"""The OpenAPI document of the HTTP interface, made from the compiled contract and its comments."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2

from kneo_grpc.api.errors import status_of_kind
from kneo_grpc.api.policy import ANY_KEY, OPEN, POLICY
from kneo_grpc.app.gateway.routes import Route, routes_of
from kneo_grpc.client import methods
from kneo_grpc.domain.errors import IdempotencyKeyConflict, IdempotencyKeyInvalid, KneoError

Json = dict[str, Any]
_Field = descriptor_pb2.FieldDescriptorProto

_PLAIN: Mapping[int, Json] = {
    _Field.TYPE_STRING: {"type": "string"},
    _Field.TYPE_BOOL: {"type": "boolean"},
    _Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    _Field.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    # JSON's numbers are doubles: 64 bits travel as text.
    _Field.TYPE_INT64: {"type": "string", "format": "int64"},
    _Field.TYPE_UINT64: {"type": "string", "format": "uint64"},
    _Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    _Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
_KNOWN: Mapping[str, Json] = {
    ".google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    ".google.protobuf.Value": {},
    ".google.protobuf.ListValue": {"type": "array", "items": {}},
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "examples": ["1.500s"]},
    ".google.protobuf.Empty": {"type": "object"},
}
_DOCUMENT = ".google.api.HttpBody"
# What the gateway answers by itself, on every route, and the interceptor before any use case.
_EVERYWHERE: dict[int, str] = {
    400: "The request cannot be understood (invalid_request).",
    404: "There is no such route or thing (not_found).",
    408: "The request did not arrive in time (deadline_exceeded).",
    413: "The request is too large (payload_too_large).",
    415: "The body is not application/json (unsupported_media_type).",
    421: "Open services answer to loopback host names only (misdirected_request).",
    422: "A field or parameter is unknown or out of its bounds.",
    429: "Too many calls by one key or address (resource_exhausted).",
    431: "The headers are too large (headers_too_large).",
    500: "The service failed; its log tells more (internal_error).",
    502: "The service's answer cannot be understood (unavailable).",
    503: "The service or its database cannot be reached (unavailable, store_unavailable).",
    504: "The service did not answer in time (deadline_exceeded).",
}
_GUARDED: dict[int, str] = {
    401: "A valid API key is needed (unauthorized).",
    403: "The key lacks the scope (forbidden).",
}
_RETRIES = (429, 503)
_KEYED = {(method.service, method.rpc) for method in methods.ALL if method.keyed}
# A run that goes on is answered with 202.
_ONGOING = frozenset({"RunResult"})


def document(files: descriptor_pb2.FileDescriptorSet) -> Json:
    """Return the document. files: with source information, imports first."""
    contract = _Contract(files)
    paths: dict[str, Json] = defaultdict(dict)
    tags = []
    for service, comment in contract.services():
        tags.append({"name": service.name, "description": comment})
        for rpc in service.method:
            for number, route in enumerate(routes_of(rpc)):
                operation = contract.operation(service.name, rpc, route, number)
                paths[route.path][route.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kneo Agent Platform API",
            "version": "0",
            "description": "Every route under /v1 also answers without that prefix.",
        },
        "tags": tags,
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Kneo-Api-Key"},
            },
            "responses": {
                f"E{status}": _failure(status, text)
                for status, text in sorted((_EVERYWHERE | _GUARDED).items())
            },
            "schemas": {"Error": _error(), **contract.schemas},
        },
    }


class _Contract:
    """The messages by their names, the comments by their places; collects the schemas in use."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self._files = [file for file in files.file if file.package.startswith("kneo.")]
        self._messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self._comments: dict[str, str] = {}
        self._statuses = dict(_statuses())
        self.schemas: Json = {}
        for file in self._files:
            places = {
                tuple(place.path): _sentence(place.leading_comments)
                for place in file.source_code_info.location
            }
            for number, message in enumerate(file.message_type):
                self._index(f".{file.package}.{message.name}", message, (4, number), places)
            for number, service in enumerate(file.service):
                self._comments[service.name] = places.get((6, number), "")
                for place, rpc in enumerate(service.method):
                    comment = places.get((6, number, 2, place), "")
                    self._comments[f"{service.name}.{rpc.name}"] = comment

    def _index(
        self,
        name: str,
        message: descriptor_pb2.DescriptorProto,
        path: tuple[int, ...],
        places: Mapping[tuple[int, ...], str],
    ) -> None:
        self._messages[name] = message
        self._comments[name] = places.get(path, "")
        for number, field in enumerate(message.field):
            self._comments[f"{name}.{field.name}"] = places.get((*path, 2, number), "")
        for number, inner in enumerate(message.nested_type):
            self._index(f"{name}.{inner.name}", inner, (*path, 3, number), places)

    def services(self) -> Iterator[tuple[descriptor_pb2.ServiceDescriptorProto, str]]:
        for file in self._files:
            for service in file.service:
                yield service, self._comments[service.name]

    def operation(
        self,
        service: str,
        rpc: descriptor_pb2.MethodDescriptorProto,
        route: Route,
        number: int,
    ) -> Json:
        """Return an operation. number: which of the rpc's routes it is."""
        comment = self._comments[f"{service}.{rpc.name}"]
        scope = POLICY[f"/kneo.v1.{service}/{rpc.name}"]
        request = self._messages[rpc.input_type]
        in_path = re.findall(r"\{(\w+)\}", route.path)
        rest = [field for field in request.field if field.name not in in_path]
        found: Json = {
            "operationId": rpc.name if number == 0 else f"{rpc.name}_{number}",
            "tags": [service],
            "summary": comment.partition(". ")[0],
            "description": comment,
            "parameters": [self._in_path(rpc.input_type, name) for name in in_path],
        }
        if route.body == "*":
            found["requestBody"] = {
                "content": {"application/json": {"schema": self._body(rpc.input_type, rest)}}
            }
        elif route.body:
            field = next(field for field in rest if field.name == route.body)
            schema = self._schema(rpc.input_type, field)
            found["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        else:
            for field in rest:
                found["parameters"] += self._in_query(rpc.input_type, field, "")
        keyed = (service, rpc.name) in _KEYED
        if keyed:
            found["parameters"].append(_IDEMPOTENCY)
        if scope == OPEN:
            found["security"] = []
        elif scope != ANY_KEY:
            found["x-required-scope"] = scope
        found["responses"] = self._responses(rpc, comment, guarded=scope != OPEN, keyed=keyed)
        return found

    def _responses(
        self,
        rpc: descriptor_pb2.MethodDescriptorProto,
        comment: str,
        *,
        guarded: bool,
        keyed: bool,
    ) -> Json:
        told = _EVERYWHERE | (_GUARDED if guarded else {})
        reasons: dict[int, list[str]] = defaultdict(list)
        errors = re.split("Errors[^:]*:", comment)[-1]
        of_keys = (IdempotencyKeyInvalid.reason, IdempotencyKeyConflict.reason) if keyed else ()
        for reason, status in self._statuses.items():
            if reason in of_keys or re.search(rf"\b{reason}\b", errors):
                reasons[status].append(reason)
        name = rpc.output_type.rpartition(".")[2]
        found = {"200": {"description": "Done.", **self._content(rpc)}}
        if name in _ONGOING:
            found["202"] = {"description": "The run goes on.", **self._content(rpc)}
        for status in sorted(told | reasons):
            if status in reasons:
                text = f"{told.get(status, '')} Here: {', '.join(reasons[status])}.".strip()
                found[str(status)] = _failure(status, text)
            else:
                found[str(status)] = {"$ref": f"#/components/responses/E{status}"}
        return found

    def _content(self, rpc: descriptor_pb2.MethodDescriptorProto) -> Json:
        if rpc.output_type == _DOCUMENT:
            kinds = (
                ("text/event-stream",) if rpc.server_streaming else _KINDS.get(rpc.name, ("*/*",))
            )
            return {"content": {kind: {} for kind in kinds}}
        kind = "application/json"
        return {"content": {kind: {"schema": self._reference(rpc.output_type)}}}

    def _body(self, owner: str, fields: list[_Field]) -> Json:
        properties = {field.name: self._schema(owner, field) for field in fields}
        found: Json = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        required = [
            field.name
            for field in fields
            if re.search(r"\bRequired\b", self._comments[f"{owner}.{field.name}"])
        ]
        return found | ({"required": required} if required else {})

    def _in_path(self, owner: str, name: str) -> Json:
        (field,) = (field for field in self._messages[owner].field if field.name == name)
        schema = {**self._schema(owner, field), "minLength": 1}
        return {"name": name, "in": "path", "required": True, "schema": schema}

    def _in_query(self, owner: str, field: _Field, prefix: str) -> Iterator[Json]:
        name = f"{prefix}{field.name}"
        inner = self._messages.get(field.type_name)
        if inner is not None and field.label != _Field.LABEL_REPEATED:
            for item in inner.field:
                yield from self._in_query(field.type_name, item, f"{name}.")
        else:
            yield {"name": name, "in": "query", "schema": self._schema(owner, field)}

    def _schema(self, owner: str, field: _Field) -> Json:
        message = self._messages.get(field.type_name)
        comment = self._comments[f"{owner}.{field.name}"]
        told = {"description": comment} if comment else {}
        if message is not None and message.options.map_entry:
            value = {**self._one(message.field[1])}
            return {"type": "object", "additionalProperties": value, **told}
        if field.label == _Field.LABEL_REPEATED:
            return {"type": "array", "items": self._one(field), **told}
        return {**self._one(field), **told}

    def _one(self, field: _Field) -> Json:
        if field.type == _Field.TYPE_MESSAGE:
            known = _KNOWN.get(field.type_name)
            return dict(known) if known is not None else self._reference(field.type_name)
        return dict(_PLAIN[field.type])

    def _reference(self, type_name: str) -> Json:
        name = type_name.removeprefix(".kneo.v1.")
        if name not in self.schemas:
            self.schemas[name] = {}
            message = self._messages[type_name]
            properties = {field.name: self._schema(type_name, field) for field in message.field}
            self.schemas[name] = {
                "type": "object",
                "description": self._comments[type_name],
                "properties": properties,
            }
        return {"$ref": f"#/components/schemas/{name}"}


_KINDS = {"GetOpenApi": ("application/json",), "GetMetrics": ("text/plain",)}
_ERROR_CONTENT: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}
_IDEMPOTENCY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a repeat of the call return the first one's answer.",
    "schema": {"type": "string", "maxLength": 256},
}


def _failure(status: int, text: str) -> Json:
    found: Json = {"description": text, "content": _ERROR_CONTENT}
    if status in _RETRIES:
        found["headers"] = _RETRY_AFTER
    return found


def _statuses(kind: type[KneoError] = KneoError) -> Iterator[tuple[str, int]]:
    """Yield each reason with its HTTP status."""
    yield kind.reason, status_of_kind(kind)[1]
    for child in kind.__subclasses__():
        yield from _statuses(child)


def _sentence(comment: str) -> str:
    return " ".join(comment.split())


def _error() -> Json:
    inner: Json = {
        "error": {"type": "string", "description": "The stable code."},
        "message": {"type": "string", "description": "One sentence for a person."},
    }
    return {
        "type": "object",
        "description": "Every failure. Facts for a program stand beside error and message.",
        "required": ["error", "message", "request_id", "detail"],
        "properties": {
            **inner,
            "request_id": {"type": ["string", "null"], "description": "As in X-Request-ID."},
            "detail": {
                "type": "object",
                "required": ["error", "message"],
                "properties": inner,
                "additionalProperties": True,
            },
        },
        "additionalProperties": True,
    }

"""HTTP/JSON over the standard library: one connection per call, no redirects, no cookies."""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from kneo_grpc.client.errors import ServiceError, from_http
from kneo_grpc.client.methods import Json, Method
from kneo_grpc.client.target import Target

ANSWER_BYTES_MAX = 64 * 1024 * 1024


class HttpTransport:
    """Carries calls as JSON. timeout: seconds that the service may be silent."""

    def __init__(
        self, target: Target, *, api_key: str | None, tls_ca: bytes | None, timeout: float
    ) -> None:
        self._target = target
        self._api_key = api_key
        self._timeout = timeout
        self._tls = (
            ssl.create_default_context(cadata=tls_ca.decode("ascii") if tls_ca else None)
            if target.tls
            else None
        )

    def call(self, method: Method, fields: Mapping[str, Any], *, key: str | None) -> Json:
        """Send once; return the answer's object. Raises ServiceError."""
        path, body = _split(method, fields)
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        if key is not None:
            headers["idempotency-key"] = key
        connection = self._connection()
        try:
            connection.request(method.verb, self._target.prefix + path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES_MAX + 1)
        except TimeoutError as error:
            raise ServiceError(
                "deadline_exceeded",
                f"{self._target} did not answer within {self._timeout:g} seconds",
            ) from error
        except ssl.SSLError as error:
            raise ServiceError("tls_failed", f"{self._target}: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(
                "unavailable", f"cannot reach {self._target}: {_why(error)}"
            ) from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            names = {name.lower(): value for name, value in answer.getheaders()}
            raise from_http(
                answer.status, content, names, phrase=answer.reason, address=str(self._target)
            )
        if method.document:
            kind = answer.getheader("content-type", "")
            return {"content_type": kind, "data": base64.b64encode(content).decode("ascii")}
        return _object(content, answer.status, self._target)

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._target.host, self._target.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)


def _split(method: Method, fields: Mapping[str, Any]) -> tuple[str, bytes | None]:
    path, rest = method.path, {}
    for name, value in fields.items():
        slot = f"{{{name}}}"
        if slot in path:
            if value in ("", ".", ".."):
                raise _no_name(name)
            path = path.replace(slot, quote(str(value), safe=""))
        elif value is not None:
            rest[name] = value
    if method.verb != "GET":
        content = rest if method.body is None else rest.get(method.body, {})
        return path, json.dumps(content).encode()
    words = {True: "true", False: "false"}
    rest = {
        name: words[value] if isinstance(value, bool) else value for name, value in rest.items()
    }
    return (f"{path}?{urlencode(rest, doseq=True)}" if rest else path), None


def _no_name(field: str) -> ServiceError:
    """What the service says of such an id; as part of a path it would ask for something else."""
    fault = {"field": field, "message": "is empty, `.` or `..`, which names nothing"}
    message = f"{field}: {fault['message']}"
    return ServiceError("validation_error", message, http_status=422, details={"fields": [fault]})


def _object(content: bytes, status: int, target: Target) -> Json:
    if len(content) > ANSWER_BYTES_MAX:
        raise ServiceError(
            "invalid_response",
            f"{target} sent more than {ANSWER_BYTES_MAX} bytes",
            http_status=status,
        )
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ServiceError(
            "invalid_response", f"{target} did not send a JSON object", http_status=status
        )
    return value


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

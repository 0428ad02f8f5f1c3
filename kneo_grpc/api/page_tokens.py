"""Tokens for the next page of a list: sealed, so that nobody can read on from a place of their own
making, and bound to the request that they continue.
"""

import base64
import binascii
import hmac
from dataclasses import replace
from typing import Any, TypeVar

import orjson
from google.protobuf.message import Message

from kneo_grpc.domain.errors import FieldsInvalid, PageTokenInvalid
from kneo_grpc.ports.store import Page, PageRequest

M = TypeVar("M", bound=Message)

_VERSION = b"\x01"
_SEAL_BYTES = 16
_CHARS_MAX = 4_096
_FREE = ("limit", "offset", "page_token")
"""What may differ from page to page."""


class PageTokens:
    """Makes and reads tokens: base64url of a version byte, the seal (HMAC-SHA256, cut to 16 bytes)
    and JSON of the list's total and the last item's place.

    The key is kept in the database, so that every process reads the others' tokens.
    """

    def __init__(self) -> None:
        self._key = b""

    def use(self, key: bytes) -> None:
        """Seal with this key from now on. key: 32 random bytes."""
        self._key = key

    def opened(self, request: Message, page: PageRequest) -> PageRequest:
        """Return the page that a request asks for, from the place that its token names, if any.

        Raises PageTokenInvalid for a token that this service did not give for this list, these
        filters and this order; FieldsInvalid for one beside an offset.
        """
        if not request.HasField("page_token"):
            return page
        if page.offset:
            raise FieldsInvalid([("offset", "goes without page_token")])
        token: str = request.page_token  # type: ignore[attr-defined] # every list request has one
        total, *after = self._read(request, token)
        return replace(page, after=tuple(after), total=total)

    def sealed(self, request: Message, found: Page[Any], answer: M) -> M:
        """Return the answer with the token for the page after it, where there is one."""
        if found.next is not None:
            content = orjson.dumps([found.total, *found.next])
            packed = _VERSION + self._seal(request, content) + content
            token = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
            answer.next_page_token = token  # type: ignore[attr-defined] # every list has one
        return answer

    def _read(self, request: Message, token: str) -> list[Any]:
        fault = PageTokenInvalid(
            [("page_token", "is not the next_page_token of this list, its filters and its order")]
        )
        if len(token) > _CHARS_MAX or not token.isascii():
            raise fault
        try:
            packed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise fault from None
        seal, content = packed[1 : 1 + _SEAL_BYTES], packed[1 + _SEAL_BYTES :]
        if packed[:1] != _VERSION or not hmac.compare_digest(seal, self._seal(request, content)):
            raise fault
        data: list[Any] = orjson.loads(content)
        return data

    def _seal(self, request: Message, content: bytes) -> bytes:
        bound = type(request)()
        bound.CopyFrom(request)
        for name in _FREE:
            bound.ClearField(name)
        parts = (request.DESCRIPTOR.full_name.encode(), bound.SerializeToString(deterministic=True))
        text = b"".join(len(part).to_bytes(4) + part for part in parts) + content
        return hmac.digest(self._key, _VERSION + text, "sha256")[:_SEAL_BYTES]

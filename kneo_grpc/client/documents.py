"""Answers that are documents of their own."""

import base64
import json

from kneo_grpc.client.methods import Json


def document_text(answer: Json) -> str:
    """Return the text of a document, given as `content_type` and `data` (base64)."""
    return base64.b64decode(answer["data"]).decode()


def document_object(answer: Json) -> Json:
    """Return the object of a JSON document, given as document_text takes it."""
    found = json.loads(document_text(answer))
    assert isinstance(found, dict)
    return found

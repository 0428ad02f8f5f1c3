"""Credentials as messages: what is there, never its value."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc._gen.kneo.v1 import credential_pb2
from kneo_grpc.api.convert.fields import Fields, Limits
from kneo_grpc.spec.credentials import Credential, Inventory

NAME_CHARS_MAX = 128


def inventory_from_pb(
    request: credential_pb2.ListCredentialsRequest, limits: Limits
) -> dict[str, Any]:
    """Return the arguments of the call."""
    fields = Fields(limits)
    names = {}
    for field in ("providers", "extras"):
        names[field] = fields.texts(field, getattr(request, field))
        for index, name in enumerate(names[field]):
            if len(name) > NAME_CHARS_MAX or not name.isprintable() or "=" in name:
                text = f"is not a name of at most {NAME_CHARS_MAX} printable characters"
                fields.fault(f"{field}[{index}]", text)
    fields.check()
    given = request.HasField("include_service_tokens")
    return {**names, "with_service_keys": request.include_service_tokens if given else True}


def inventory_to_pb(inventory: Inventory) -> credential_pb2.ListCredentialsResponse:
    """Return an inventory as a message."""
    return credential_pb2.ListCredentialsResponse(
        inventory=credential_pb2.CredentialInventory(
            providers=_entries(inventory.providers),
            extra=_entries(inventory.extra),
            service_tokens=_entries(inventory.service),
        )
    )


def _entries(found: Mapping[str, Credential]) -> dict[str, credential_pb2.Credential]:
    return {
        name: credential_pb2.Credential(
            name=credential.name,
            env_var=credential.env_var,
            present=credential.present,
            value=credential.value,
            status=credential.status,
        )
        for name, credential in found.items()
    }

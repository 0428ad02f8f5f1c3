"""CredentialService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import credential_pb2, credential_pb2_grpc
from kneo_grpc.api.call import current_call
from kneo_grpc.api.convert import credentials as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.platform.credentials import Credentials


class CredentialServicer(credential_pb2_grpc.CredentialServiceServicer):
    """Shows which secrets are there."""

    def __init__(self, credentials: Credentials, limits: Limits) -> None:
        self._credentials = credentials
        self._limits = limits

    async def ListCredentials(
        self, request: credential_pb2.ListCredentialsRequest, context: Any
    ) -> credential_pb2.ListCredentialsResponse:
        """See credential.proto."""
        wanted = convert.inventory_from_pb(request, self._limits)
        caller = current_call().principal
        return convert.inventory_to_pb(await self._credentials.inventory(caller, **wanted))

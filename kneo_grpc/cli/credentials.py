"""kneo credentials: which secrets are there, never what they are."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import Session, in_session


@in_session
def credentials(
    session: Session,
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this provider of models; repeatable."),
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another secret; repeatable.")
    ] = None,
    service_tokens: Annotated[
        bool, typer.Option("--service-tokens/--no-service-tokens", help="The service's own keys.")
    ] = True,
) -> None:
    """Tell which secrets are there and which variables hold them, never their values."""
    query: show.Json = {
        "providers": provider or [],
        "extras": extra or [],
        "include_service_tokens": service_tokens,
    }
    answer = session.ask(lambda backend: backend.list_credentials(query))
    if session.as_json:
        show.as_json(answer)
        return
    inventory = answer.get("inventory") or {}
    rows = [
        (entry.get("name"), entry.get("env_var"), entry.get("status"))
        for table in ("providers", "extra", "service_tokens")
        for _, entry in sorted((inventory.get(table) or {}).items())
    ]
    show.table(("credential", "variable", "status"), rows)

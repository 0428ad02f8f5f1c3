"""kneo audit: see who did what, and check that nobody changed it since."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.backend import Json
from kneo_grpc.cli.session import Session, in_session

app = typer.Typer(
    help="See who did what, and check that nobody changed it since.", no_args_is_help=True
)


@app.command("list")
@in_session
def list_events(
    session: Session,
    event_type: Annotated[
        str | None, typer.Option(help="Only events of this type: run.created, human.decision, …")
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="Only events of this run.")] = None,
    continuation_id: Annotated[
        str | None, typer.Option(help="Only events of this human task.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only events of this principal.")] = None,
    created_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only later events: 2030-01-31T12:00:00Z.")
    ] = None,
    created_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only earlier events.")
    ] = None,
    sort_order: Annotated[str, typer.Option(metavar="asc|desc", help="desc: newest first.")] = (
        "desc"
    ),
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Page size.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=10000, help="How many to pass over.")] = 0,
    page_token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="next_page_token of the page before.")
    ] = None,
) -> None:
    """List the audit trail, the newest first.

    An event has no number until it is sealed, about a second after it was written.
    """
    asked: Json = {
        "event_type": event_type,
        "run_id": run_id,
        "continuation_id": continuation_id,
        "actor": actor,
        "created_after": created_after,
        "created_before": created_before,
        "sort_order": sort_order,
        "limit": limit,
        "offset": offset,
        "page_token": page_token,
    }
    query = {name: value for name, value in asked.items() if value is not None}
    page = session.ask(lambda backend: backend.list_audit_events(query))
    if session.as_json:
        show.as_json(page)
        return
    if page.get("events"):
        columns = ("number", "created_at", "event_type", "actor", "run_id")
        rows = [
            (*(event.get(column) for column in columns), _facts(event.get("metadata") or {}))
            for event in page["events"]
        ]
        show.table(("number", "when", "what", "who", "run", "facts"), rows)
    show.page_note(page, "events")


@app.command("verify")
@in_session
def verify(session: Session) -> None:
    """Check that the audit trail is whole.

    Exits with 1 when an event was changed, removed or put in by other means than the service.
    The head digest, kept elsewhere, proves everything up to its number.
    """
    # The client's package loads an event loop, which help does without.
    from kneo_grpc.client.verification import whole_verification

    found = session.ask(lambda backend: whole_verification(backend.verify_audit), doing="Checking")
    if session.as_json:
        show.as_json(found)
    else:
        _print_found(found)
    if not found["valid"]:
        raise typer.Exit(1)


def _print_found(found: Json) -> None:
    show.facts(
        {
            "events checked": found["checked"],
            "of them pruned": found["pruned"],
            "not sealed yet": found.get("unsealed", 0),
            "head number": found.get("head_number"),
            "head digest": found.get("head_digest"),
        }
    )
    for item in found["breaks"]:
        show.line(_break_line(item), err=True)
    if found["valid"]:
        show.line("The trail is whole.")
        return
    more = found["breaks_total"] - len(found["breaks"])
    if more:
        show.line(f"… and {more} more", err=True)
    show.fail_line("the audit trail is not what was written")


def _facts(metadata: Json) -> str:
    """Name what is known, on one line."""
    known = {name: value for name, value in metadata.items() if value not in (None, [], {})}
    return ", ".join(f"{name}={show.text(value)}" for name, value in known.items())


def _break_line(item: Json) -> str:
    number, last = item.get("number"), item.get("last_number")
    place = "without a number" if number is None else f"number {number}"
    if last is not None and last != number:
        place = f"numbers {number} to {last}"
    return f"{item.get('kind')}: {place} {item.get('audit_id') or ''}".rstrip()

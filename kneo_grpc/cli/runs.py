"""kneo runs: look at runs, end them, and make them go on."""

from typing import Annotated, Any

import typer

from kneo_grpc.cli import run_fork, run_show, run_views, show
from kneo_grpc.cli.run import print_result
from kneo_grpc.cli.session import Session, in_keyed_session, in_session
from kneo_grpc.domain.run import STATUS_ALIASES, RunStatus
from kneo_grpc.spec.spelling import closest

app = typer.Typer(help="Look at runs, end them, and make them go on.", no_args_is_help=True)
app.command("show")(run_show.show_run)
app.command("fork")(run_fork.fork)
app.command("graph")(run_views.graph)
app.command("policy-report")(run_views.policy_report)

_RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
_Limit = Annotated[int, typer.Option(min=1, max=1000, help="Page size.")]
_SEQUENCE_MAX = 2**31 - 1
_Offset = Annotated[int, typer.Option(min=0, max=10000, help="How many to pass over.")]
_Token = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="next_page_token of the page before.")
]


@app.command("list")
@in_session
def list_runs(
    session: Session,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help=f"Only runs of this status: {', '.join(RunStatus)}."),
    ] = None,
    workflow_kind: Annotated[
        str | None, typer.Option(help="Only runs of workflows of this kind.")
    ] = None,
    workflow_name: Annotated[str | None, typer.Option(help="Only runs of this workflow.")] = None,
    session_id: Annotated[str | None, typer.Option(help="Only runs of this session.")] = None,
    environment: Annotated[
        str | None, typer.Option("--env", help="Only runs of this environment.")
    ] = None,
    has_error: Annotated[
        bool | None,
        typer.Option("--with-error/--without-error", help="Only runs with, or without."),
    ] = None,
    created_after: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="ISO 8601, UTC unless it names a zone.")
    ] = None,
    created_before: Annotated[str | None, typer.Option(metavar="INSTANT")] = None,
    q: Annotated[
        str | None,
        typer.Option("--text", help="Only runs whose output or error message holds this text."),
    ] = None,
    limit: _Limit = 100,
    offset: _Offset = 0,
    page_token: _Token = None,
) -> None:
    """List runs, the one that changed last first."""
    _check_status(status)
    query = _given(
        status=status,
        workflow_kind=workflow_kind,
        workflow_name=workflow_name,
        session_id=session_id,
        environment=environment,
        has_error=has_error,
        created_after=created_after,
        created_before=created_before,
        q=q,
        limit=limit,
        offset=offset,
        page_token=page_token,
    )
    page = session.ask(lambda backend: backend.list_runs(query))
    if session.as_json:
        show.as_json(page)
    else:
        _print_runs(page)


@app.command("get")
@in_session
def get_run(session: Session, run_id: _RunId) -> None:
    """Show a run."""
    _print_run(session, session.ask(lambda backend: backend.get_run(run_id)))


@app.command("cancel")
@in_keyed_session
def cancel_run(session: Session, run_id: _RunId) -> None:
    """End a run for good; one that has ended stays as it is."""
    _print_run(session, session.ask(lambda backend: backend.cancel_run(run_id)))


@app.command("trace")
@in_session
def trace(
    session: Session,
    run_id: _RunId,
    event_type: Annotated[str | None, typer.Option(help="Only events of this type.")] = None,
    limit: _Limit = 100,
    offset: _Offset = 0,
    page_token: _Token = None,
) -> None:
    """Show what happened in a run, in order."""
    query = _given(event_type=event_type, limit=limit, offset=offset, page_token=page_token)
    page = session.ask(lambda backend: backend.trace(run_id, query))
    if session.as_json:
        show.as_json(page)
        return
    if page.get("events"):
        show.table(
            ("#", "time", "event", "where", "facts"),
            [
                (
                    item.get("sequence"),
                    item.get("timestamp"),
                    item.get("type"),
                    item.get("step_id") or item.get("agent_name") or item.get("workflow_name"),
                    _event_facts(item),
                )
                for item in page["events"]
            ],
        )
    show.page_note(page, "events")


@app.command("checkpoints")
@in_session
def checkpoints(
    session: Session,
    run_id: _RunId,
    kind: Annotated[
        str | None, typer.Option("--type", help="Only checkpoints of this type.")
    ] = None,
    limit: _Limit = 100,
    offset: _Offset = 0,
    page_token: _Token = None,
) -> None:
    """Show the points that a run passed; --json adds the state at each."""
    query = _given(type=kind, limit=limit, offset=offset, page_token=page_token)
    page = session.ask(lambda backend: backend.checkpoints(run_id, query))
    if session.as_json:
        show.as_json(page)
        return
    if page.get("checkpoints"):
        show.table(
            ("#", "time", "checkpoint", "step", "iteration"),
            [
                (
                    item.get("sequence"),
                    item.get("created_at"),
                    item.get("type"),
                    item.get("step_id") or item.get("node_id"),
                    item.get("iteration"),
                )
                for item in page["checkpoints"]
            ],
        )
    show.page_note(page, "checkpoints")


@app.command("recovery")
@in_session
def recovery(session: Session, run_id: _RunId) -> None:
    """Show what is left to do in a run, and whether it can be continued."""
    found = session.ask(lambda backend: backend.recovery(run_id))
    if session.as_json:
        show.as_json(found)
        return
    context = found.get("replay_context") or {}
    show.facts(
        {
            "run": found.get("run_id"),
            "status": found.get("status"),
            "can be continued": context.get("can_continue"),
            "can be replayed": context.get("can_replay"),
            "completed": context.get("completed_steps") or context.get("completed_nodes"),
            "failed at": context.get("failed_step") or context.get("failed_node"),
            "next step": context.get("next_step_index"),
            "checkpoints": found.get("checkpoint_count"),
            "waits for": found.get("continuation_id"),
            "error": (found.get("error") or {}).get("message"),
        }
    )


@app.command("continue")
@in_keyed_session
def continue_run(session: Session, run_id: _RunId) -> None:
    """Let a failed run go on with the step that failed.

    What completed is not done again. Exits as `kneo run` does.
    """
    result = session.ask(lambda backend: backend.continue_run(run_id), doing="Continuing")
    print_result(session, result)


@app.command("replay")
@in_session
def replay(session: Session, run_id: _RunId) -> None:
    """Show a run's history; nothing is executed."""
    found = session.ask(lambda backend: backend.replay(run_id))
    if session.as_json:
        show.as_json(found)
        return
    timeline = found.get("timeline") or []
    if timeline:
        show.table(
            ("#", "time", "checkpoint", "step", "status", "facts"),
            [
                (
                    item.get("sequence"),
                    item.get("created_at"),
                    item.get("type"),
                    item.get("step_id") or item.get("node_id"),
                    item.get("status"),
                    _short((item.get("error") or {}).get("message")) or item.get("continuation_id"),
                )
                for item in timeline
            ],
        )
    count = found.get("checkpoint_count", 0)
    if count > len(timeline):
        show.line(f"The last {len(timeline)} of {count} checkpoints.")
    show.line(f"{run_id} is {found.get('status')}.")
    if (found.get("replay_context") or {}).get("can_continue"):
        show.line("Let it go on with:")
        show.line(f"  kneo runs continue {run_id}{session.hint_options}")


@app.command("checkpoint-diff")
@in_session
def checkpoint_diff(
    session: Session,
    run_id: _RunId,
    from_sequence: Annotated[
        int | None,
        typer.Option(
            "--from-sequence",
            "--from",
            min=1,
            max=_SEQUENCE_MAX,
            metavar="N",
            help="Number of the earlier checkpoint; the last but one when left out.",
        ),
    ] = None,
    to_sequence: Annotated[
        int | None,
        typer.Option(
            "--to-sequence",
            "--to",
            min=1,
            max=_SEQUENCE_MAX,
            metavar="N",
            help="Number of the later checkpoint; the last when left out.",
        ),
    ] = None,
) -> None:
    """Show what changed between two checkpoints.

    Long values are cut short; --json shows all of them.
    """
    query = _given(from_sequence=from_sequence, to_sequence=to_sequence)
    diff = session.ask(lambda backend: backend.checkpoint_diff(run_id, query))
    if session.as_json:
        show.as_json(diff)
        return
    show.facts(
        {
            "from": _checkpoint(diff.get("from_checkpoint")),
            "to": _checkpoint(diff.get("to_checkpoint")),
        }
    )
    rows = _diff_rows(diff)
    if rows:
        show.table(("change", "path", "before", "after"), rows)
    else:
        show.line("No changes.")
    if diff.get("truncated"):
        show.line(f"{len(rows)} of {diff.get('change_count')} changes.")


def _print_runs(page: show.Json) -> None:
    if page.get("runs"):
        show.table(
            ("run", "status", "workflow or agent", "updated", "input"),
            [
                (
                    item.get("run_id"),
                    item.get("status"),
                    item.get("workflow_name") or item.get("agent_name"),
                    item.get("updated_at"),
                    _short(item.get("input_text")),
                )
                for item in page["runs"]
            ],
        )
    show.page_note(page, "runs")


def _print_run(session: Session, run: show.Json) -> None:
    if session.as_json:
        show.as_json(run)
        return
    request = run.get("pending_human_request") or {}
    show.facts(
        {
            "run": run.get("run_id"),
            "status": run.get("status"),
            "workflow": run.get("workflow_name"),
            "kind": run.get("workflow_kind"),
            "agent": run.get("agent_name"),
            "forked from": run.get("parent_run_id"),
            "input": run.get("input_text"),
            "output": run.get("output_text"),
            "at step": run.get("current_step_id") or run.get("current_node_id"),
            "passed": run.get("visited_steps") or run.get("visited_nodes"),
            "question": request.get("prompt"),
            "waits for": run.get("continuation_ids") or run.get("continuation_id"),
            "error": (run.get("error") or {}).get("message"),
            "error type": (run.get("error") or {}).get("type"),
            "attempt": run.get("attempt"),
            "events": run.get("trace_event_count"),
            "created": run.get("created_at"),
            "ended": run.get("completed_at"),
        }
    )


def _event_facts(event: show.Json) -> str | None:
    for name in ("error", "output_preview", "input_preview", "tool_name"):
        if event.get(name):
            return _short(event[name])
    return None


def _checkpoint(summary: show.Json | None) -> str:
    found = summary or {}
    words = (f"#{found.get('sequence')}", found.get("type"), found.get("step_id"))
    return " ".join(word for word in words if word)


def _diff_rows(diff: show.Json) -> list[tuple[Any, ...]]:
    """Return change, path, before and after of every difference."""
    added, removed, changed = (diff.get(kind) or [] for kind in ("added", "removed", "changed"))
    return [
        *(("added", item["path"], None, _leaf(item, "value")) for item in added),
        *(("removed", item["path"], _leaf(item, "value"), None) for item in removed),
        *(
            ("changed", item["path"], _leaf(item, "before"), _leaf(item, "after"))
            for item in changed
        ),
    ]


def _leaf(change: show.Json, name: str) -> str | None:
    value = change.get(name)
    return "null" if value is None else _short(show.text(value))


def _short(value: str | None) -> str | None:
    words = " ".join((value or "").split())
    return words if len(words) <= 60 else f"{words[:59]}…"


def _check_status(status: str | None) -> None:
    words = (*RunStatus, *STATUS_ALIASES)
    if status is not None and status not in words:
        meant = closest(status, words)
        hint = f"did you mean {meant}? " if meant else ""
        text = f"{status!r} is no status: {hint}there are {', '.join(words)}"
        raise typer.BadParameter(text, param_hint="--status")


def _given(**query: str | int | bool | None) -> show.Json:
    return {name: value for name, value in query.items() if value is not None}

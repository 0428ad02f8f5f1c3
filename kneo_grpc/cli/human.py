"""kneo human: see what people are asked, and answer."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.backend import Backend, Json
from kneo_grpc.cli.run import print_result
from kneo_grpc.cli.session import Session, in_keyed_session, in_session

app = typer.Typer(help="See what people are asked, and answer.", no_args_is_help=True)

_Continuation = Annotated[
    str, typer.Argument(metavar="CONTINUATION", help="Id of the task: cont_…")
]


@app.command("list")
@in_session
def list_tasks(
    session: Session,
    run_id: Annotated[str | None, typer.Option(help="Only tasks of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Page size.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=10000, help="How many to pass over.")] = 0,
    status: Annotated[
        str | None, typer.Option(help="pending or escalated: only tasks that are.")
    ] = None,
    page_token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="next_page_token of the page before.")
    ] = None,
) -> None:
    """List the questions that wait for an answer."""
    query: Json = {"limit": limit, "offset": offset}
    given = {"run_id": run_id, "status": status, "page_token": page_token}
    query |= {name: value for name, value in given.items() if value is not None}
    page = session.ask(lambda backend: backend.list_human_tasks(query))
    if session.as_json:
        show.as_json(page)
        return
    if page.get("tasks"):
        show.table(
            ("continuation", "run", "question", "for", "until"),
            [
                (
                    task.get("continuation_id") or task.get("id"),
                    task.get("run_id"),
                    _request(task).get("prompt"),
                    _request(task).get("assignee"),
                    task.get("expires_time"),
                )
                for task in page["tasks"]
            ],
        )
    show.page_note(page, "tasks")


@app.command("get")
@in_session
def get_task(session: Session, continuation_id: _Continuation) -> None:
    """Show a question and what it is about."""
    task = session.ask(lambda backend: backend.get_human_task(continuation_id))
    if session.as_json:
        show.as_json(task)
        return
    request = _request(task)
    show.facts(
        {
            "continuation": continuation_id,
            "run": task.get("run_id"),
            "status": task.get("status"),
            "request": _request_id(task),
            "type": request.get("type"),
            "title": request.get("title"),
            "question": request.get("prompt"),
            "context": request.get("context"),
            "options": request.get("options"),
            "default": request.get("default_option"),
            "for": request.get("assignee"),
            "until": task.get("expires_time"),
            "then": request.get("on_timeout") if task.get("expires_time") else None,
        }
    )


@app.command("resume")
@in_keyed_session
def resume(
    session: Session,
    continuation_id: _Continuation,
    request_id: Annotated[
        str | None,
        typer.Option(help="Id of the question; the pending one when left out."),
    ] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject.")] = False,
    edit: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Go on with this text instead.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(metavar="OPTION", help="Choose one of the options.")
    ] = None,
    provide: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Answer with this text.")
    ] = None,
    content: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A word with --approve, --reject or --select."),
    ] = None,
) -> None:
    """Answer a question; the run goes on. Give exactly one of the five answers.

    Exits as `kneo run` does.
    """
    decision = _decision(approve, reject, edit, select, provide, content)

    async def decide(backend: Backend) -> Json:
        asked = request_id or _request_id(await backend.get_human_task(continuation_id))
        return await backend.resume_human_task(continuation_id, {"request_id": asked, **decision})

    print_result(session, session.ask(decide, doing="Resuming"))


def _decision(
    approve: bool,
    reject: bool,
    edit: str | None,
    select: str | None,
    provide: str | None,
    content: str | None,
) -> Json:
    answers: list[Json] = []
    if approve:
        answers.append({"decision": "approved"})
    if reject:
        answers.append({"decision": "rejected"})
    if edit is not None:
        answers.append({"decision": "edited", "content": edit})
    if select is not None:
        answers.append({"decision": "selected", "selected_option": select})
    if provide is not None:
        answers.append({"decision": "provided", "content": provide})
    if len(answers) != 1:
        raise typer.BadParameter(
            "give exactly one of --approve, --reject, --edit, --select and --provide"
        )
    if content is not None:
        if "content" in answers[0]:
            raise typer.BadParameter("--edit and --provide hold the text; leave --content out")
        answers[0]["content"] = content
    return answers[0]


def _request(task: Json) -> Json:
    return task.get("pending_human_request") or task.get("request") or {}


def _request_id(task: Json) -> str:
    request = _request(task)
    return (
        task.get("pending_human_request_id") or request.get("request_id") or request.get("id") or ""
    )

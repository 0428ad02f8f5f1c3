"""Validates a spec: every finding, errors first."""

from collections.abc import Collection

from kneo_grpc.domain.diagnostic import Diagnostic
from kneo_grpc.spec.check_agents import check_agents
from kneo_grpc.spec.check_builds import check_builds
from kneo_grpc.spec.check_components import check_components
from kneo_grpc.spec.check_people import check_people
from kneo_grpc.spec.check_support import check_support
from kneo_grpc.spec.check_workflows import check_workflows
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.findings import Findings, shown
from kneo_grpc.spec.migrate import migrate
from kneo_grpc.spec.model import Spec
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.schema import fit

DUMMY_ONLY = frozenset({"dummy"})


def validate(
    document: Document,
    *,
    known_tools: Collection[str] = frozenset(),
    known_functions: Collection[str] = frozenset(),
    providers: Collection[str] = DUMMY_ONLY,
) -> list[Diagnostic]:
    """Return all findings: errors first, each severity in document order. Never raises.

    Legacy shapes are migrated before. known_tools, known_functions: registered names;
    providers: model providers that are wired.
    """
    known = Known(tools=known_tools, functions=known_functions, providers=providers)
    return examine(document, known)[1]


def examine(
    document: Document, known: Known, *, gate: bool = True
) -> tuple[Spec | None, list[Diagnostic]]:
    """Return the spec, None where the document does not fit the model, and all findings.

    gate: also refuse what the language knows and this release does not run.
    """
    document = migrate(document)
    findings = Findings(document)
    version = document.data.get("version")
    if version != "v1":
        text = f"the version {shown(version)} is not known to this release"
        findings.error("E_VERSION", ("version",), text, "use `v1`")
        return None, findings.ordered()
    spec = fit(document, findings)
    if spec is not None:
        check_workflows(spec, findings)
        check_agents(spec, known, findings)
        check_components(spec, known, findings)
        check_people(spec, findings)
        check_builds(spec, findings)
        if gate:
            check_support(spec, known, findings)
    return spec, findings.ordered()

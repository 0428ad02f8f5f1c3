"""Builds what keeps secrets inside: the operator's rules, and the secrets of this process."""

import sys
from dataclasses import replace

from kneo_grpc.app.settings import Settings, environment
from kneo_grpc.app.sources import project_secrets
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.domain.redaction import Redactor, rules_of, secrets_in


def build_redactor(settings: Settings) -> Redactor:
    """Build the redactor of a process. Raises StartRefused on a project config that cannot be
    used.
    """
    rules = settings.redaction
    variables = {name: environment().get(name, "") for name in project_secrets(settings)}
    of_project = secrets_in(variables, tuple(variables))
    address = secrets_in({"KNEO_SERV_DATABASE_URL": settings.database_url})
    return Redactor(replace(rules, secrets=(*rules.secrets, *of_project, *address)))


def tell_refusal(error: StartRefused) -> None:
    """Print on standard error why the process does not start."""
    rules, _ = rules_of(environment())
    print(Redactor(rules).text(f"error: {error.message} ({error.reason})"), file=sys.stderr)

"""Specs and their diagnostics."""

from collections.abc import Iterable
from typing import Any

from kneo_grpc._gen.kneo.v1 import spec_pb2
from kneo_grpc.api.convert.fields import Fields, Limits
from kneo_grpc.domain.diagnostic import Diagnostic, has_errors
from kneo_grpc.platform.specs import SpecSource


def source_from_pb(request: Any, limits: Limits) -> SpecSource:
    """Return where the spec of a request comes from."""
    fields = Fields(limits)
    source = source_fields(request, fields)
    fields.check()
    return source


def source_fields(request: Any, fields: Fields) -> SpecSource:
    """Read the fields that every request about a spec has; the caller checks them."""
    limits = fields.limits
    return SpecSource(
        spec_path=fields.optional_text(request, "spec_path"),
        spec=fields.struct(request, "spec", limits.inline_spec_bytes),
        overrides=fields.struct(request, "overrides", limits.overrides_bytes),
        environment=fields.optional_text(request, "environment"),
        overlays=fields.texts("overlays", request.overlays),
        bundle=fields.struct(request, "bundle", limits.inline_spec_bytes),
    )


def validation_to_pb(diagnostics: Iterable[Diagnostic]) -> spec_pb2.ValidateSpecResponse:
    """Return findings as a message."""
    found = list(diagnostics)
    return spec_pb2.ValidateSpecResponse(
        valid=not has_errors(found), diagnostics=diagnostics_to_pb(found)
    )


def diagnostics_to_pb(diagnostics: Iterable[Diagnostic]) -> list[spec_pb2.Diagnostic]:
    """Return findings as messages."""
    return [
        spec_pb2.Diagnostic(
            code=item.code,
            severity=item.severity.value,
            message=item.message,
            path=item.path,
            suggestion=item.suggestion,
            line=item.line,
            column=item.column,
            file=item.file,
        )
        for item in diagnostics
    ]

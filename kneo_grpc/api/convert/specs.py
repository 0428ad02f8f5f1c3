"""Specs and their diagnostics."""

from collections.abc import Iterable

from kneo_grpc._gen.kneo.v1 import spec_pb2
from kneo_grpc.api.convert.fields import Fields, Limits
from kneo_grpc.domain.diagnostic import Diagnostic, has_errors
from kneo_grpc.platform.specs import SpecSource


def source_from_pb(request: spec_pb2.ValidateSpecRequest, limits: Limits) -> SpecSource:
    """Return where the spec of a request comes from."""
    fields = Fields(limits)
    source = SpecSource(
        spec_path=fields.optional_text(request, "spec_path"),
        spec=fields.struct(request, "spec", limits.inline_spec_bytes),
        overrides=fields.struct(request, "overrides", limits.overrides_bytes),
    )
    fields.check()
    return source


def validation_to_pb(diagnostics: Iterable[Diagnostic]) -> spec_pb2.ValidateSpecResponse:
    """Return findings as a message."""
    found = list(diagnostics)
    return spec_pb2.ValidateSpecResponse(
        valid=not has_errors(found),
        diagnostics=[
            spec_pb2.Diagnostic(
                code=item.code,
                severity=item.severity.value,
                message=item.message,
                path=item.path,
                suggestion=item.suggestion,
                line=item.line,
                column=item.column,
            )
            for item in found
        ],
    )

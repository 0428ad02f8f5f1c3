"""kneo spec bundle: sign a spec for an environment, and check a bundle."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import told_failures
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.spec_options import Environment, Overlays, SpecPath, chosen
from kneo_grpc.cli.workspace import OF_THE_PLATFORM, read_content
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.integrations.variables import environment as variables

if TYPE_CHECKING:
    from kneo_grpc.spec.bundle import HmacKey, SigningKey, VerifyingKey
    from kneo_grpc.spec.document import Document

app = typer.Typer(help="Signed specs: sign and verify them.", no_args_is_help=True)

_KEY_ENV = "KNEO_SERV_SPEC_SIGNING_KEY"

_KeyEnv = Annotated[
    str, typer.Option(metavar="NAME", help="Variable with the secret of HMAC-SHA256.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("sign")
def sign(
    approved_by: Annotated[str, typer.Option(metavar="NAME", help="Who approved the spec.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write.")],
    path: SpecPath = None,
    env: Environment = None,
    overlay: Overlays = None,
    key_env: _KeyEnv = _KEY_ENV,
    ed25519_key: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Private key (PEM) to sign with, not by HMAC."
        ),
    ] = None,
    expires_in: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, metavar="DAYS", help="Nobody takes the bundle after that."),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Sign a spec as the project has it in an environment, where alone it may then run."""
    # What reads specs and keys takes a while to load, which help does without.
    from kneo_grpc.integrations.clock import SystemClock
    from kneo_grpc.integrations.ed25519 import read_private_key
    from kneo_grpc.spec.bundle import sign_spec
    from kneo_grpc.spec.migrate import migrate

    spec_file = chosen(path, overlay, env)
    with told_failures(spec_file):
        if not approved_by.strip():
            raise InvalidInput("--approved-by names nobody")
        key: SigningKey
        key = read_private_key(ed25519_key) if ed25519_key else _hmac_key(key_env, required=True)
        document, environment = spec_file.resolved(signed=True)
        document = migrate(document)
        _require_sound(document)
        spec_file.require_policy()
        now = SystemClock().now()
        bundle = sign_spec(
            document.data,
            key,
            approved_by=approved_by,
            created_at=now,
            environment=environment,
            expires_at=now + timedelta(days=expires_in) if expires_in else None,
        )
        show.write(show.json_text(bundle), output)
        signature = {name: bundle["signature"][name] for name in ("algorithm", "key_id")}
        if as_json:
            show.as_json(
                {"output": str(output), "digest": bundle["digest"], "signature": signature}
            )
        else:
            bound = f" for {environment}" if environment else ""
            show.line(f"Signed {spec_file}{bound} by {key.algorithm}: {output}")


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bundle.")],
    env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment that it is to run in.")
    ] = None,
    key_env: _KeyEnv = _KEY_ENV,
    public_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Ed25519 public key: a PEM file, or the base64 of its 32 bytes. May be given "
            "several times; KNEO_SERV_SPEC_VERIFY_KEYS names more.",
        ),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Check a bundle's digest, signature, expiry and environment. Exits with 1 when one fails."""
    # See sign().
    from kneo_grpc.integrations.clock import SystemClock
    from kneo_grpc.spec.bundle import read_bundle, verify_bundle

    with told_failures(SpecFile(path)):
        bundle = read_bundle(read_content(path))
        keys = _verifying_keys(key_env, public_key or [])
        checked = verify_bundle(bundle, keys, now=SystemClock().now(), environment=env)
    errors = [fault.message for fault in checked.faults]
    if as_json:
        show.as_json(
            {
                "valid": checked.valid,
                "digest_valid": checked.digest_valid,
                "signature_valid": checked.signature_valid,
                "errors": errors,
            }
        )
    elif checked.valid:
        metadata = bundle["metadata"]
        bound = f", for {metadata['environment']}" if metadata.get("environment") else ""
        show.line(f"{path} is valid: approved by {metadata.get('approved_by')}{bound}.")
    else:
        show.fail_line(f"{path} is not valid: {'; '.join(errors)}")
    if not checked.valid:
        raise typer.Exit(1)


def _require_sound(document: "Document") -> None:
    """Raises SpecInvalid: nobody approves what cannot run."""
    # See sign().
    from kneo_grpc.domain.diagnostic import has_errors
    from kneo_grpc.spec.findings import spec_invalid
    from kneo_grpc.spec.validate import validate

    found = [item for item in validate(document) if item.code not in OF_THE_PLATFORM]
    if has_errors(found):
        raise spec_invalid(found)


def _hmac_key(name: str, *, required: bool) -> "HmacKey":
    # See sign().
    from kneo_grpc.spec.bundle import HmacKey

    secret = variables().get(name, "").strip()
    if required and not secret:
        raise InvalidInput(f"the variable {name} holds no key to sign with")
    try:
        return HmacKey(secret.encode(), name)
    except UnicodeEncodeError:
        raise InvalidInput(f"the variable {name} holds bytes that are not UTF-8") from None


def _verifying_keys(key_env: str, public_keys: list[str]) -> "list[VerifyingKey]":
    # See sign().
    from kneo_grpc.integrations.ed25519 import read_public_key

    listed = variables().get("KNEO_SERV_SPEC_VERIFY_KEYS", "").split(",")
    texts = [*public_keys, *(text.strip() for text in listed)]
    keys: list[VerifyingKey] = [read_public_key(text) for text in texts if text]
    if variables().get(key_env, "").strip():
        keys.append(_hmac_key(key_env, required=True))
    return keys

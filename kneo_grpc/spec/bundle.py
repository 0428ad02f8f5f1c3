"""Signed bundles: a resolved spec with who approved it, its digest, and a signature over all of it.

A bundle is a JSON object: `kind`, `version`, `metadata{approved_by, environment?, created_at,
expires_at?}`, `spec`, `digest{algorithm, value}` over the spec, and `signature{algorithm, key_id,
value}` over everything but itself. Digests and signatures are hexadecimal and work on canonical
JSON: sorted keys, no blanks, UTF-8. That is exact: 1.0 is not 1, so a bundle must be read from its
text and never pass through another reader's numbers.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, Protocol

from kneo_grpc.domain.diagnostic import Diagnostic, Severity
from kneo_grpc.domain.errors import InvalidInput, SpecInvalid
from kneo_grpc.spec.findings import refusal, spec_invalid

KIND = "kneo.spec.bundle"
VERSION = "v1"
HMAC_ALGORITHM = "HMAC-SHA256"
_DIGEST_ALGORITHM = "SHA256"
_SIGNATURE_FIELDS = {"algorithm", "key_id", "value"}


class SigningKey(Protocol):
    """Signs bundles. key_id: what the signature says of the key."""

    @property
    def algorithm(self) -> str:
        """Name of the scheme."""

    @property
    def key_id(self) -> str:
        """What the signature says of the key."""

    def sign(self, content: bytes) -> str:
        """Return the signature."""


class VerifyingKey(Protocol):
    """Checks signatures."""

    @property
    def algorithm(self) -> str:
        """Name of the scheme."""

    def verifies(self, content: bytes, key_id: str, signature: str) -> bool:
        """Tell whether this key made the signature. Never raises."""


@dataclass(frozen=True, slots=True, repr=False)
class HmacKey:
    """A secret that signs and verifies. key_id: a label that no signature covers."""

    secret: bytes
    key_id: str = "KNEO_SERV_SPEC_SIGNING_KEY"
    algorithm: str = HMAC_ALGORITHM

    def sign(self, content: bytes) -> str:
        """Return the HMAC."""
        return hmac.new(self.secret, content, hashlib.sha256).hexdigest()

    def verifies(self, content: bytes, key_id: str, signature: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(
            self.sign(content).encode(), signature.encode("utf-8", "replace")
        )


class Fault(NamedTuple):
    """What is wrong with a bundle."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What came of a check. valid: there are no faults at all."""

    digest_valid: bool
    signature_valid: bool
    faults: tuple[Fault, ...]

    @property
    def valid(self) -> bool:
        """Tell whether the bundle may be used."""
        return not self.faults


def canonical(value: Any) -> bytes:
    """Return the bytes that are digested and signed. Raises ValueError on what JSON cannot say."""
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def sign_spec(
    spec: Mapping[str, Any],
    key: SigningKey,
    *,
    approved_by: str,
    created_at: datetime,
    environment: str | None = None,
    expires_at: datetime | None = None,
) -> dict[str, Any]:
    """Return the bundle of a resolved spec. The instants are aware."""
    metadata = {"approved_by": approved_by, "created_at": created_at.isoformat()}
    if environment is not None:
        metadata["environment"] = environment
    if expires_at is not None:
        metadata["expires_at"] = expires_at.isoformat()
    digest = hashlib.sha256(canonical(spec)).hexdigest()
    bundle: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION,
        "metadata": metadata,
        "spec": dict(spec),
        "digest": {"algorithm": _DIGEST_ALGORITHM, "value": digest},
    }
    value = key.sign(canonical(bundle))
    return {
        **bundle,
        "signature": {"algorithm": key.algorithm, "key_id": key.key_id, "value": value},
    }


def is_bundle(content: bytes) -> bool:
    """Tell whether a file means to be a bundle; cheap where it does not."""
    if f'"{KIND}"'.encode() not in content:
        return False
    try:
        return read_bundle(content).get("kind") == KIND
    except SpecInvalid:
        return False


def read_bundle(content: bytes | str) -> dict[str, Any]:
    """Read a bundle with its numbers as they are written. Raises SpecInvalid (E_BUNDLE)."""
    try:
        bundle = json.loads(content, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refusal("E_BUNDLE", f"the bundle is not JSON: {error}") from None
    if not isinstance(bundle, dict):
        raise refusal("E_BUNDLE", "a bundle is an object")
    return bundle


def bundle_given(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bundle that a request carries: as an object, or exactly as `{"json": text}`."""
    text = bundle.get("json")
    if set(bundle) == {"json"} and isinstance(text, str):
        return read_bundle(text)
    return dict(bundle)


def verify_bundle(
    bundle: Mapping[str, Any],
    keys: Iterable[VerifyingKey],
    *,
    now: datetime,
    environment: str | None = None,
) -> Verification:
    """Check a bundle. environment: where it is to run; None to leave that open. Never raises."""
    faults: list[Fault] = []
    if bundle.get("kind") != KIND:
        faults.append(Fault("E_BUNDLE_KIND", f"the kind is not {KIND}"))
    if bundle.get("version") != VERSION:
        faults.append(Fault("E_BUNDLE_VERSION", f"the version is not {VERSION}"))
    spec = bundle.get("spec")
    if not isinstance(spec, dict):
        faults.append(Fault("E_BUNDLE", "the spec is not an object"))
        return Verification(digest_valid=False, signature_valid=False, faults=tuple(faults))
    digest_valid = _digest_holds(bundle.get("digest"), spec)
    if not digest_valid:
        faults.append(Fault("E_BUNDLE_DIGEST", "the digest does not match the spec"))
    fault = _signature_fault(bundle, tuple(keys))
    if fault is not None:
        faults.append(fault)
    faults += _metadata_faults(bundle.get("metadata"), now, environment)
    return Verification(
        digest_valid=digest_valid, signature_valid=fault is None, faults=tuple(faults)
    )


def verified_spec(
    bundle: Mapping[str, Any],
    keys: Iterable[VerifyingKey],
    *,
    now: datetime,
    environment: str,
) -> dict[str, Any]:
    """Return the spec of a bundle that may run in an environment. Raises SpecInvalid."""
    checked = verify_bundle(bundle, keys, now=now, environment=environment)
    if not checked.valid:
        raise spec_invalid(
            [
                Diagnostic(code=fault.code, severity=Severity.ERROR, message=fault.message)
                for fault in checked.faults
            ]
        )
    spec: dict[str, Any] = bundle["spec"]
    return spec


def _digest_holds(digest: Any, spec: Mapping[str, Any]) -> bool:
    if not isinstance(digest, dict) or digest.get("algorithm") != _DIGEST_ALGORITHM:
        return False
    try:
        found = hashlib.sha256(canonical(spec)).hexdigest()
    except ValueError:
        return False
    return found == digest.get("value")


def _signature_fault(bundle: Mapping[str, Any], keys: tuple[VerifyingKey, ...]) -> Fault | None:
    """Return why the signature proves nothing; None where it holds."""
    signature = bundle.get("signature")
    if signature is None:
        return Fault("E_BUNDLE_SIGNATURE", "the bundle is not signed")
    if (
        not isinstance(signature, dict)
        or set(signature) != _SIGNATURE_FIELDS
        or not all(isinstance(value, str) for value in signature.values())
    ):
        return Fault("E_BUNDLE_SIGNATURE", "the signature has not the fields it must have")
    fitting = [key for key in keys if key.algorithm == signature["algorithm"]]
    if not fitting:
        text = f"there is no key to verify a signature by {signature['algorithm'][:40]!r}"
        return Fault("E_BUNDLE_KEY", text)
    try:
        content = canonical({name: part for name, part in bundle.items() if name != "signature"})
    except ValueError:
        return Fault("E_BUNDLE_SIGNATURE", "the bundle holds what JSON cannot say")
    if any(key.verifies(content, signature["key_id"], signature["value"]) for key in fitting):
        return None
    text = "the signature does not hold: another key made it, or the bundle was changed"
    return Fault("E_BUNDLE_SIGNATURE", text)


def _metadata_faults(metadata: Any, now: datetime, environment: str | None) -> list[Fault]:
    if not isinstance(metadata, dict):
        return [Fault("E_BUNDLE", "the metadata is not an object")]
    faults = []
    bound = metadata.get("environment")
    if environment is not None and bound is not None and bound != environment:
        text = f"the bundle is for the environment {str(bound)[:128]!r}, not for {environment!r}"
        faults.append(Fault("E_BUNDLE_ENVIRONMENT", text))
    if metadata.get("expires_at") is not None:
        try:
            expires_at = read_instant(metadata["expires_at"])
        except InvalidInput:
            faults.append(Fault("E_BUNDLE", "`expires_at` is not an instant with a time zone"))
        else:
            if now >= expires_at:
                text = f"the bundle expired at {expires_at.isoformat()}"
                faults.append(Fault("E_BUNDLE_EXPIRED", text))
    return faults


def read_instant(text: Any) -> datetime:
    """Read an aware ISO 8601 instant. Raises InvalidInput."""
    try:
        instant = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise InvalidInput("not an ISO 8601 instant") from None
    if instant.tzinfo is None:
        raise InvalidInput("the instant has no time zone")
    return instant


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")

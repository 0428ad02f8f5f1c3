#!/usr/bin/env python3
"""Ask a deployed service whether it does its work: health, keys, a run that waits for a person,
audit, credentials, policies. One line per step; exit 0 when all passed, 1 at the first that failed.

    scripts/deployment_smoke.py --base-url https://kneo.example.org --api-prefix /v1 --expect-auth

--base-url is http(s)://… for JSON, grpc(s)://… for gRPC. Keys that are not given stand in the
environment: KNEO_STAGING_BASE_URL, KNEO_STAGING_ADMIN_TOKEN, KNEO_STAGING_OPERATOR_TOKEN,
KNEO_STAGING_REVIEWER_TOKEN, KNEO_STAGING_VIEWER_TOKEN.
"""

import argparse
import importlib.resources
import json
import os
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from deployment_calls import Answer, Calls, GrpcCalls, HttpCalls

Json = dict[str, Any]
SPEC = "smoke_human_workflow.yaml"
OPTIONAL = ("audit", "credentials", "policies")


class Failed(Exception):
    """A step did not bring what it must. The text names the endpoint, and what came."""


@dataclass(frozen=True)
class Smoke:
    """One round. keys: by role; a role without one uses the admin's."""

    calls: Calls
    keys: Mapping[str, str | None]
    expect_auth: bool
    environment: str

    def ask(
        self, role: str | None, verb: str, path: str, body: Json | None = None, *, status: int = 200
    ) -> Json:
        """Call as a role, or as nobody; raises Failed unless the status is the expected one.

        Where it is 202 an older service says 200.
        """
        key = None if role is None else self.keys.get(role) or self.keys.get("admin")
        answer = self.calls.ask(verb, path, body, key)
        good = {202, 200} if status == 202 else {status}
        self.expect(answer.status in good, verb, path, answer)
        return answer.body

    def expect(self, holds: bool, verb: str, path: str, answer: Answer | Json) -> None:
        """Raise Failed unless something holds of an answer."""
        if not holds:
            told = f"HTTP {answer.status}: " if isinstance(answer, Answer) else ""
            body = answer.body if isinstance(answer, Answer) else answer
            raise Failed(f"{verb} {path}: {told}{json.dumps(body)[:500]}")

    def health(self) -> None:
        """The process answers."""
        body = self.ask(None, "GET", "/healthz")
        self.expect(body.get("ok") is True, "GET", "/healthz", body)

    def readiness(self) -> None:
        """It can do its work, and need not be restarted."""
        self.ask(None, "GET", "/livez")
        body = self.ask(None, "GET", "/readyz")
        ready = body.get("metadata", {}).get("ready")
        self.expect(ready is True, "GET", "/readyz", body)

    def auth(self) -> None:
        """Nobody gets in without a key."""
        self.ask(None, "GET", "/runs", status=401)

    def validate(self) -> None:
        """The smoke workflow is valid."""
        body = self.ask("operator", "POST", "/specs/validate", {"spec": spec()})
        self.expect(body.get("valid") is True, "POST", "/specs/validate", body)

    def human(self) -> None:
        """A run waits for a person, is read, and completes when it is approved."""
        path = "/runs"
        body = self.ask("operator", "POST", path, self._run(), status=202)
        request = body.get("metadata", {}).get("request") or {}
        waits = body.get("status") == "blocked" and body.get("human_intervention_required") is True
        named = body.get("continuation_id") and request.get("id")
        self.expect(waits and bool(named), "POST", path, body)
        fetched = self.ask("viewer", "GET", f"/runs/{body['run_id']}")
        self.expect(fetched.get("status") == "blocked", "GET", "/runs/{run_id}", fetched)
        path = f"/human-tasks/{body['continuation_id']}/resume"
        decision = {"request_id": request["id"], "decision": "approved"}
        done = self.ask("reviewer", "POST", path, decision)
        self.expect(done.get("status") == "completed", "POST", path, done)

    def cancel(self) -> None:
        """A waiting run can be cancelled."""
        body = self.ask("operator", "POST", "/runs", self._run(), status=202)
        path = f"/runs/{body['run_id']}/cancel"
        done = self.ask("operator", "POST", path, {})
        self.expect(done.get("status") == "cancelled", "POST", path, done)

    def audit(self) -> None:
        """What the steps before did stands in the audit log."""
        body = self.ask("operator", "GET", "/audit-events?limit=100")
        kinds = {event.get("event_type") for event in body.get("events", ())}
        told = {"run.created", "human.decision"} <= kinds
        self.expect(told, "GET", "/audit-events", {"event_types": sorted(map(str, kinds))})

    def credentials(self) -> None:
        """The inventory of credentials is there."""
        body = self.ask("operator", "GET", "/security/credentials")
        self.expect("inventory" in body, "GET", "/security/credentials", {"keys": sorted(body)})

    def policies(self) -> None:
        """An environment's policy can be put by those who may, and by nobody else."""
        path = f"/policies/environment/{self.environment}"
        policy = {"enabled": True, "fail_on_warnings": False}
        body = self.ask("operator", "PUT", path, policy)
        echoed = body.get("environment") == self.environment and body.get("policy")
        self.expect(bool(echoed) and body["policy"].get("enabled") is True, "PUT", path, body)
        if self.keys.get("viewer") and self.expect_auth:
            self.ask("viewer", "PUT", path, policy, status=403)

    def _run(self) -> Json:
        text = f"deployment smoke {uuid.uuid4()}"
        return {"input": text, "spec": spec(), "target": "workflow"}


def spec() -> Json:
    """Return the workflow that waits for one person, which needs no provider."""
    text = (importlib.resources.files("kneo_grpc.examples") / SPEC).read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def steps(smoke: Smoke, skip: list[str]) -> list[tuple[str, Callable[[], None]]]:
    """Return the steps in their order."""
    found: list[tuple[str, Callable[[], None]]] = [
        ("health", smoke.health),
        ("readiness", smoke.readiness),
        ("auth", smoke.auth),
        ("validate", smoke.validate),
        ("human", smoke.human),
        ("cancel", smoke.cancel),
        ("audit", smoke.audit),
        ("credentials", smoke.credentials),
        ("policies", smoke.policies),
    ]
    left_out = {*skip, *(() if smoke.expect_auth else ("auth",))}
    return [(name, step) for name, step in found if name not in left_out]


def main() -> int:
    """Take the steps one after the other."""
    words = _parser().parse_args()
    if not words.base_url:
        sys.exit("--base-url or KNEO_STAGING_BASE_URL is needed")
    try:
        trust = words.tls_ca.read_bytes() if words.tls_ca else None
    except OSError as error:
        sys.exit(f"--tls-ca cannot be read: {error}")
    make = GrpcCalls if words.base_url.startswith("grpc") else HttpCalls
    calls = make(words.base_url, prefix=words.api_prefix, trust=trust, timeout=words.timeout)
    roles = ("admin", "operator", "reviewer", "viewer")
    keys = {role: getattr(words, role) for role in roles}
    smoke = Smoke(calls, keys, words.expect_auth, words.environment)
    for name, step in steps(smoke, words.skip):
        try:
            step()
        except (Failed, OSError) as error:
            print(f"FAIL {name}: {error}", flush=True)
            return 1
        told = " ".join((step.__doc__ or "").split())
        print(f"PASS {name}: {told}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", default=os.getenv("KNEO_STAGING_BASE_URL"))
    parser.add_argument("--api-prefix", default="/v1", choices=("", "/v1"), help="JSON only")
    for role in ("admin", "operator", "reviewer", "viewer"):
        names = [f"--{role}-api-key", f"--{role}-token"]
        if role == "admin":
            names.append("--api-key")
        variable = f"KNEO_STAGING_{role.upper()}_TOKEN"
        parser.add_argument(
            *names, dest=role, metavar="KEY", default=os.getenv(variable), help=f"or {variable}"
        )
    parser.add_argument("--expect-auth", action="store_true", help="keys must be asked for")
    parser.add_argument("--environment", default="smoke", help="whose policy is put")
    parser.add_argument("--tls-ca", type=Path, help="PEM of the authority to trust")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for a call")
    parser.add_argument("--skip", action="append", default=[], choices=OPTIONAL, help="repeatable")
    return parser


if __name__ == "__main__":
    sys.exit(main())

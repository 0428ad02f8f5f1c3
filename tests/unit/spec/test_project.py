"""The project config."""

import pytest

from kneo_grpc.domain.errors import ProjectConfigInvalid
from kneo_grpc.spec.project import config_fault, read_project

FULL = """
project:
  name: shop
  owner: me
  description: d
  default_environment: staging
  tags: [a]
service: {default_url: "http://x", timeout_seconds: 5, headers: {a: b}}
local: {state_path: s, artifact_path: a, log_path: l, cache_path: c, create_missing_dirs: false}
specs:
  default_spec: a.yaml
  overlays: {dev: [o.yaml]}
  include_paths: [lib]
  validate_on_run: false
runtime_defaults:
  preferred_mode: native
  allowed_modes: [native]
  fallback_mode: bridge
  native_provider: p
  adapter_ref: r
  bridge_provider: b
model_defaults:
  dev: {provider: p, name: n, temperature: 0.5, max_tokens: 1, timeout_seconds: 2, extra: {k: 1}}
policy_defaults:
  checkpointing: {enabled: false, mode: node}
  logging: {level: debug}
  tracing: {enabled: false, include_messages: true, include_tool_results: false}
  guardrails: {enable_default_input_filter: true, enable_default_output_review: true}
secrets: {provider_env: {openai: MY_KEY}, extra_env: {mcp: MCP_KEY}}
retention:
  runs_days: 0
  checkpoints_days: 1
  queue_days: 2
  continuations_days: 3
  artifacts_days: 4
  logs_days: 5
  audit_days: 6
  idempotency_days: 7
environments:
  prod:
    policy_enforcement:
      enabled: true
      fail_on_warnings: true
      blocked_diagnostic_codes: [E_X]
      require_human_review: true
      require_tool_permissions: true
      deny_unrestricted_tools: true
      require_guardrails: true
      require_signed_bundle: true
    defaults: {agent: {description: d}}
"""


def read(text: str):
    return read_project(text.encode(), name=".kneo/config.yaml")


def refused(text: str) -> list[dict]:
    with pytest.raises(ProjectConfigInvalid) as caught:
        read(text)
    assert caught.value.message.startswith(".kneo/config.yaml")
    return caught.value.details["diagnostics"]


def test_every_section_and_field_is_known() -> None:
    config = read(FULL).config
    assert config.project.default_environment == "staging"
    assert config.retention.idempotency_days == 7
    assert config.environments["prod"].policy_enforcement.require_signed_bundle


def test_a_name_is_enough_and_the_rest_has_defaults() -> None:
    data = read("project: {name: shop}\nservice:\n").config.model_dump()
    assert data["project"]["default_environment"] == "dev"
    assert data["service"] == {"default_url": None, "timeout_seconds": 120, "headers": {}}
    assert data["local"] == {
        "state_path": ".kneo/kneo_runs.sqlite",
        "artifact_path": ".kneo/artifacts",
        "log_path": ".kneo/logs",
        "cache_path": ".kneo/cache",
        "create_missing_dirs": True,
    }
    assert data["specs"] == {
        "default_spec": None,
        "overlays": {},
        "include_paths": [],
        "validate_on_run": True,
    }
    assert data["runtime_defaults"]["preferred_mode"] == "bridge"
    assert data["runtime_defaults"]["allowed_modes"] == ["bridge"]
    assert data["policy_defaults"] == {
        "checkpointing": {"enabled": True, "mode": "step"},
        "logging": {"level": "info"},
        "tracing": {"enabled": True, "include_messages": False, "include_tool_results": True},
        "guardrails": {"enable_default_input_filter": False, "enable_default_output_review": False},
    }
    assert set(data["retention"].values()) == {None}


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "words"),
    [
        ("", None, 1, 1, "empty"),
        ("[1]", None, 1, 1, "object"),
        ("project: {name: a", "project", 2, 1, ""),
        ("project: {name: a}\nproject: {name: b}", "project", 2, 1, "twice"),
        ("service: {}", "project", 1, 1, "`project` is required"),
        ("project: {}", "project.name", 1, 1, "`name` is required"),
        ("project: {name: 5}", "project.name", 1, 11, "must be text"),
        ("project: {name: a}\nserivce: {}", "serivce", 2, 1, "not known"),
        ("project: {name: a}\nspecs:\n  defualt_spec: x", "specs.defualt_spec", 3, 3, "not known"),
        (
            "project: {name: a}\nspecs: {overlays: {dev: o.yaml}}",
            "specs.overlays.dev",
            2,
            20,
            "list",
        ),
        ("project: {name: a}\nspecs: {overlays: [o]}", "specs.overlays", 2, 9, "object"),
        (
            "project: {name: a}\nspecs: {default_spec: ../x}",
            "specs.default_spec",
            2,
            9,
            "hold `..`",
        ),
        ("project: {name: a}\nspecs: {include_paths: [~/x]}", "specs.include_paths[0]", 2, 25, "~"),
        (
            "project: {name: a}\nspecs: {validate_on_run: maybe}",
            "specs.validate_on_run",
            2,
            9,
            "true",
        ),
        ("project: {name: a}\nretention: {runs_days: -1}", "retention.runs_days", 2, 13, "greater"),
        ("project: {name: a}\nretention: {runs_days: 1.5}", "retention.runs_days", 2, 13, "whole"),
        ("project: {name: a}\nservice: {timeout_seconds: 0}", "service.timeout_seconds", 2, 11, ""),
        (
            "project: {name: a}\nruntime_defaults: {preferred_mode: magic}",
            "runtime_defaults.preferred_mode",
            2,
            20,
            "`bridge`",
        ),
        (
            "project: {name: a}\nenvironments: {e: {policy_enforcement: {require_humans: true}}}",
            "environments.e.policy_enforcement.require_humans",
            2,
            41,
            "not known",
        ),
    ],
)
def test_faults_have_their_place(text, path, line, column, words) -> None:
    (fault,) = refused(text)
    assert (fault.get("path"), fault["line"], fault["column"]) == (path, line, column)
    assert fault["file"] == ".kneo/config.yaml"
    assert words in fault["message"]


def test_all_faults_are_told_at_once_with_hints() -> None:
    faults = refused("projct: {name: a}\nspecs: {defualt_spec: x}\n")
    assert [item["path"] for item in faults] == ["projct", "specs.defualt_spec", "project"]
    assert [item.get("suggestion") for item in faults[:2]] == [
        "did you mean `project`?",
        "did you mean `default_spec`?",
    ]


@pytest.mark.parametrize("section", ["provider_env", "extra_env"])
def test_a_secret_itself_is_refused_and_not_repeated(section: str) -> None:
    with pytest.raises(ProjectConfigInvalid) as caught:
        read(f"project: {{name: a}}\nsecrets: {{{section}: {{openai: sk-secret-1}}}}\n")
    assert "never a secret itself" in caught.value.message
    assert "sk-secret-1" not in caught.value.message + str(caught.value.details)


def test_a_fault_found_in_use_has_its_place() -> None:
    project = read("project: {name: a}\nspecs:\n  overlays:\n    dev:\n      - gone.yaml\n")
    fault = config_fault(project, ("specs", "overlays", "dev", 0), "there is no file gone.yaml")
    assert fault.message == (
        ".kneo/config.yaml:5:9: specs.overlays.dev[0]: there is no file gone.yaml"
    )

"""How a spec is put together for an environment."""

from kneo_grpc.spec.document import Document
from kneo_grpc.spec.environments import choose_environment, policy_of, resolve
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.project import Project, read_project
from kneo_grpc.spec.validate import validate

CONFIG = """
project: {name: shop, default_environment: staging}
runtime_defaults: {preferred_mode: bridge, allowed_modes: [bridge, native]}
model_defaults:
  dev: {provider: dummy, name: dummy, temperature: 0.5, extra: {a: 1, b: 2}}
  odd: {temperature: 0.5}
environments:
  dev:
    defaults:
      agent: {description: from dev, model: {max_tokens: 9}}
      policies: {own: 1}
  prod:
    policy_enforcement: {require_human_review: true}
"""


def project(text: str = CONFIG) -> Project:
    return read_project(text.encode(), name="config.yaml")


def resolved(spec: dict, environment: str = "dev", **options) -> dict:
    base = load_object({"version": "v1", **spec})
    options.setdefault("project", project())
    return dict(resolve(base, environment=environment, **options).data)


def test_the_named_environment_wins_over_the_projects_and_that_over_dev() -> None:
    assert choose_environment("prod", project()) == "prod"
    assert choose_environment(None, project()) == "staging"
    assert choose_environment(None, project("project: {name: a}")) == "dev"
    assert choose_environment(None, None) == "dev"


def test_the_policy_is_that_of_the_environment() -> None:
    assert policy_of(project(), "prod").require_human_review
    assert policy_of(project(), "dev") is None
    assert policy_of(project(), "elsewhere") is None
    assert policy_of(None, "prod") is None


def test_an_agent_that_says_nothing_gets_all_defaults() -> None:
    data = resolved({"agent": {"name": "a"}})
    assert data["metadata"] == {"project": "shop", "environment": "dev"}
    assert data["agent"] == {
        "name": "a",
        "description": "from dev",
        "runtime_preferences": {"preferred_mode": "bridge", "allowed_modes": ["bridge", "native"]},
        "model": {
            "max_tokens": 9,
            "provider": "dummy",
            "name": "dummy",
            "temperature": 0.5,
            "extra": {"a": 1, "b": 2},
        },
    }
    assert data["policies"]["own"] == 1
    assert data["policies"]["project_defaults"]["checkpointing"] == {
        "enabled": True,
        "mode": "step",
    }
    assert [item for item in validate(load_object(data)) if item.severity == "error"] == []


def test_what_the_spec_says_is_never_changed() -> None:
    agent = {
        "name": "a",
        "description": "own",
        "model": {"provider": "p", "name": "n", "extra": {"a": 9}},
        "runtime_preferences": {"preferred_mode": "native"},
    }
    policies = {"project_defaults": {"own": 1}}
    metadata = {"environment": "mine"}
    data = resolved({"agent": agent, "policies": policies, "metadata": metadata})
    assert data["agent"]["description"] == "own"
    assert data["agent"]["runtime_preferences"] == {"preferred_mode": "native"}
    assert data["agent"]["model"] == {
        "provider": "p",
        "name": "n",
        "extra": {"a": 9, "b": 2},
        "max_tokens": 9,
        "temperature": 0.5,
    }
    assert data["metadata"] == {"environment": "mine", "project": "shop"}
    assert data["policies"]["project_defaults"]["own"] == 1


def test_a_model_given_as_text_keeps_its_name() -> None:
    model = resolved({"agent": {"name": "a", "model": "gpt"}}, project=project())["agent"]["model"]
    assert (model["name"], model["provider"], model["temperature"]) == ("gpt", "dummy", 0.5)


def test_settings_without_a_model_name_make_no_model() -> None:
    assert "model" not in resolved({"agent": {"name": "a"}}, "odd")["agent"]


def test_an_agent_that_is_a_workflow_gets_no_model_and_no_runtime() -> None:
    agent = resolved({"agent": {"name": "a", "as_agent": "flow"}}, "odd")["agent"]
    assert agent == {"name": "a", "as_agent": "flow"}


def test_a_spec_without_an_agent_gets_none() -> None:
    assert "agent" not in resolved({}, "prod")


def test_overlays_come_before_the_defaults_and_overrides_after() -> None:
    base = load_object({"version": "v1", "agent": {"name": "a", "description": "base"}})
    document = resolve(
        base,
        overlays=[load_object({"agent": {"description": None, "system_prompt": "o"}})],
        project=project(),
        environment="dev",
        overrides=load_object({"agent": {"system_prompt": "last", "model": None}}),
    )
    agent = document.data["agent"]
    assert (agent["description"], agent["system_prompt"]) == ("from dev", "last")
    assert "model" not in agent


def test_overrides_of_a_legacy_spec_may_be_legacy_too() -> None:
    base = load_object({"root_agent": {"name": "a"}})
    overrides = load_object({"root_agent": {"description": "d"}})
    document = resolve(base, project=project(), environment="prod", overrides=overrides)
    assert document.data["agent"]["description"] == "d"


def test_without_a_project_nothing_is_added() -> None:
    base = load_object({"version": "v1", "agent": {"name": "a"}})
    assert resolve(base) is base


def test_resolving_twice_changes_nothing_more() -> None:
    once = resolve(
        load_object({"version": "v1", "agent": {"name": "a", "model": "m"}}),
        overlays=[load_object({"agent": {"description": None, "tools": ["t"]}})],
        project=project(),
        environment="dev",
    )
    again = resolve(
        once,
        overlays=[load_object({"agent": {"description": None, "tools": ["t"]}})],
        project=project(),
        environment="dev",
    )
    assert again.data == once.data


def test_a_fault_in_the_defaults_names_the_config() -> None:
    config = "project: {name: a}\nenvironments:\n  dev:\n    defaults:\n      agent: {nmae: x}\n"
    base = load_text("version: v1\nagent: {name: a}\n", name="spec.yaml")
    document: Document = resolve(base, project=project(config), environment="dev")
    (found,) = validate(document)
    assert (found.path, found.file, found.line, found.column) == (
        "agent.nmae",
        "config.yaml",
        5,
        15,
    )

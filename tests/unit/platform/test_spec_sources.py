"""How the service finds, puts together and compiles specs."""

import asyncio
import base64
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from kneo_grpc.app.settings import Settings, read_settings
from kneo_grpc.app.sources import (
    build_sources,
    provider_secrets,
    retention_settings,
    skill_files,
)
from kneo_grpc.domain.errors import (
    EnvironmentPolicyBlocked,
    InvalidInput,
    ProjectConfigInvalid,
    SpecInvalid,
    SpecPathConfined,
    StartRefused,
)
from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.platform import specs as specs_module
from kneo_grpc.platform.skill_texts import SkillTexts
from kneo_grpc.platform.spec_sources import Material
from kneo_grpc.platform.specs import Specs, SpecSource
from kneo_grpc.platform.standing_policies import StandingPolicies
from kneo_grpc.ports.upkeep import Kept
from kneo_grpc.spec.bundle import HmacKey, sign_spec
from kneo_grpc.spec.skill_overlay import SkillOverlay
from tests.fakes import FakeClock

SPEC = {"version": "v1", "agent": {"name": "a"}}
KEY = HmacKey(b"secret")


class NoPolicies:
    """A store without environment policies."""

    async def load_policies(self) -> tuple[()]:
        return ()


class House:
    """A spec root with the service's view on it."""

    def __init__(self, root: Path, **settings) -> None:
        self.root = root
        self.clock = FakeClock()
        chosen = Settings(spec_root=root, **settings)
        self.sources = build_sources(chosen, self.clock)
        self.specs = Specs(
            store=None,
            code=CodeRegistry(()),
            sources=self.sources,
            standing=StandingPolicies(NoPolicies(), self.clock),
            providers={"dummy"},
            skills=SkillTexts(skill_files(chosen)),
        )

    def write(self, name: str, content) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        # Whoever was looked at within the last second is trusted.
        self.clock.advance(timedelta(seconds=2))

    def data(self, **source) -> dict:
        return dict(self.sources.gather(SpecSource(**source)).document().data)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, spec_signing_key="secret")


@pytest.fixture
def project(house: House) -> House:
    house.write(
        ".kneo/config.yaml",
        {
            "project": {"name": "shop"},
            "specs": {"overlays": {"dev": ["over/dev.yaml"]}, "include_paths": ["lib"]},
            "environments": {
                "dev": {"defaults": {"agent": {"description": "default"}}},
                "prod": {"policy_enforcement": {"require_human_review": True}},
                "locked": {"policy_enforcement": {"require_signed_bundle": True}},
                "test": {},
            },
        },
    )
    house.write("over/dev.yaml", {"agent": {"system_prompt": "project"}})
    house.write("lib/part.yaml", {"agent": {"system_prompt": "call"}})
    house.write("spec.yaml", SPEC)
    return house


def test_without_a_project_the_spec_is_what_it_is(house: House) -> None:
    assert house.data(spec=SPEC) == SPEC
    assert house.data(spec=SPEC, environment="prod") == SPEC


def test_overlays_and_overrides_are_applied_without_a_project(house: House) -> None:
    house.write("spec.yaml", SPEC)
    house.write("o1.yaml", {"agent": {"description": "1", "system_prompt": "1"}})
    house.write("o2.yaml", {"agent": {"description": "2"}})
    found = house.data(
        spec_path="spec.yaml",
        overlays=("o1.yaml", "o2.yaml"),
        overrides={"agent": {"system_prompt": None}},
    )
    assert found["agent"] == {"name": "a", "description": "2"}
    assert house.data(spec=SPEC, overlays=("o1.yaml",))["agent"]["description"] == "1"


def test_the_project_adds_its_overlays_and_defaults(project: House) -> None:
    for source in ({"spec": SPEC}, {"spec_path": "spec.yaml"}):
        found = project.data(**source)
        assert found["metadata"] == {"project": "shop", "environment": "dev"}
        assert found["agent"]["system_prompt"] == "project"
        assert found["agent"]["description"] == "default"


def test_the_calls_overlays_come_after_the_projects_and_overrides_last(project: House) -> None:
    found = project.data(spec=SPEC, overlays=("part.yaml",), overrides={"agent": {"name": "o"}})
    assert (found["agent"]["system_prompt"], found["agent"]["name"]) == ("call", "o")


def test_another_environment_has_none_of_it(project: House) -> None:
    agent = project.data(spec=SPEC, environment="test")["agent"]
    assert "system_prompt" not in agent and "description" not in agent


def test_the_process_environment_is_that_of_calls_that_name_none(tmp_path: Path, project) -> None:
    other = House(tmp_path, environment="test")
    assert other.data(spec=SPEC)["metadata"]["environment"] == "test"
    assert other.data(spec=SPEC, environment="dev")["metadata"]["environment"] == "dev"


def test_a_process_environment_that_the_project_does_not_have_starts_nothing(
    tmp_path: Path, project
) -> None:
    with pytest.raises(StartRefused, match="no environment `tset`: did you mean `test`"):
        retention_settings(Settings(spec_root=tmp_path, environment="tset"))


def test_the_operator_may_name_the_only_environments(tmp_path: Path) -> None:
    house = House(tmp_path, environments=("prod", "staging"))
    assert house.data(spec=SPEC, environment="prod") == SPEC
    for environment in ("dev", None):
        with pytest.raises(EnvironmentPolicyBlocked):
            house.data(spec=SPEC, environment=environment)


@pytest.mark.parametrize("name", ["../x", "~/x", "/etc/passwd", "sub/../../x"])
def test_overlays_are_confined_as_specs_are(project: House, name: str) -> None:
    for source in ({"spec_path": name}, {"spec": SPEC, "overlays": (name,)}):
        with pytest.raises(SpecPathConfined):
            project.data(**source)


def test_a_pipe_as_overlay_is_confined(project: House) -> None:
    os.mkfifo(project.root / "pipe")
    with pytest.raises(SpecPathConfined):
        project.data(spec=SPEC, overlays=("pipe",))


def test_a_file_that_is_too_large_is_no_spec(house: House) -> None:
    with (house.root / "large.yaml").open("wb") as file:
        file.truncate(10 * 1024 * 1024)
    with pytest.raises(SpecInvalid) as caught:
        house.data(spec_path="large.yaml")
    assert caught.value.details["diagnostics"][0]["code"] == "E_LIMIT"


def test_files_together_have_a_limit(house: House) -> None:
    house.write("o.yaml", "agent: {description: " + "x" * 250_000 + "}")
    with pytest.raises(SpecInvalid, match="E_LIMIT"):
        house.data(spec=SPEC, overlays=("o.yaml",) * 5)


def test_an_overlay_that_the_project_lacks_is_an_error_of_its_config(project: House) -> None:
    (project.root / "over" / "dev.yaml").unlink()
    with pytest.raises(ProjectConfigInvalid) as caught:
        project.data(spec=SPEC)
    assert "over/dev.yaml" in caught.value.message
    assert caught.value.message.startswith(".kneo/config.yaml:")


async def test_a_diagnostic_names_the_overlay(project: House) -> None:
    project.write("over/dev.yaml", "# x\nagent:\n  nmae: x\n")
    found = await project.specs.validate(SpecSource(spec_path="spec.yaml"))
    (fault,) = [item for item in found if item.severity == "error"]
    assert (fault.path, fault.file, fault.line, fault.column) == (
        "agent.nmae",
        "over/dev.yaml",
        3,
        3,
    )


async def test_the_policy_blocks_and_is_a_finding(project: House) -> None:
    source = SpecSource(spec=SPEC, environment="prod")
    with pytest.raises(EnvironmentPolicyBlocked) as caught:
        await project.specs.compile(source)
    assert caught.value.reason == "environment_policy_blocked"
    (fault,) = caught.value.details["diagnostics"]
    assert (fault["code"], fault["path"]) == ("E_ENV_POLICY_HUMAN_REVIEW", "workflow")
    assert caught.value.details["environment"] == "prod"
    codes = {item.code for item in await project.specs.validate(source)}
    assert "E_ENV_POLICY_HUMAN_REVIEW" in codes
    await project.specs.compile(SpecSource(spec=SPEC))


async def test_a_spec_with_errors_is_invalid_before_it_is_blocked(project: House) -> None:
    with pytest.raises(SpecInvalid):
        await project.specs.compile(SpecSource(spec={"version": "v1"}, environment="prod"))


async def test_equal_material_compiles_once(project: House, monkeypatch) -> None:
    compiled = []
    real = specs_module.compiler.compile_spec

    def counting(*args, **options):
        compiled.append(1)
        return real(*args, **options)

    monkeypatch.setattr(specs_module.compiler, "compile_spec", counting)

    async def times(**source) -> int:
        before = len(compiled)
        await project.specs.compile(SpecSource(**source))
        return len(compiled) - before

    assert [await times(spec_path="spec.yaml") for _ in range(3)] == [1, 0, 0]
    assert [await times(spec=SPEC) for _ in range(3)] == [1, 0, 0]
    assert await times(spec=SPEC, environment="test") == 1
    assert await times(spec=SPEC, overlays=("part.yaml",)) == 1
    project.write("over/dev.yaml", {"agent": {"system_prompt": "changed"}})
    assert await times(spec_path="spec.yaml") == 1
    config = project.root / ".kneo" / "config.yaml"
    project.write(".kneo/config.yaml", config.read_text() + "\n# changed\n")
    assert [await times(spec=SPEC) for _ in range(2)] == [1, 0]


async def test_an_inline_spec_needs_no_file_for_a_second(house: House, monkeypatch) -> None:
    await house.specs.compile(SpecSource(spec=SPEC))
    asked = []
    real = house.sources._files.project
    monkeypatch.setattr(house.sources._files, "project", lambda: asked.append(1) or real())
    await house.specs.compile(SpecSource(spec=SPEC))
    assert asked == []
    house.clock.advance(timedelta(seconds=1))
    await house.specs.compile(SpecSource(spec=SPEC))
    assert asked == [1]


def test_a_changed_config_counts_at_once(project: House) -> None:
    project.write(".kneo/config.yaml", "project: {name: other}\n")
    assert project.data(spec=SPEC)["metadata"]["project"] == "other"
    project.write(".kneo/config.yaml", "projct: {name: other}\n")
    with pytest.raises(ProjectConfigInvalid):
        project.data(spec=SPEC)
    (project.root / ".kneo" / "config.yaml").unlink()
    assert project.data(spec=SPEC) == SPEC


def bundle(house: House, spec: dict = SPEC, **options) -> dict:
    return sign_spec(spec, KEY, approved_by="me", created_at=house.clock.now(), **options)


async def test_a_bundle_runs_as_it_was_signed(project: House) -> None:
    signed = bundle(project)
    project.write("b.json", json.dumps(signed))
    for source in ({"bundle": signed}, {"bundle": {"json": json.dumps(signed)}}, {"spec": signed}):
        # Neither overlays nor defaults of the project change it.
        assert project.data(**source) == SPEC
        assert (await project.specs.compile(SpecSource(**source))).plan.agents
    assert project.data(spec_path="b.json") == SPEC


async def test_where_a_signed_bundle_is_demanded_nothing_else_runs(project: House) -> None:
    for source in ({"spec": SPEC}, {"spec_path": "spec.yaml"}):
        with pytest.raises(EnvironmentPolicyBlocked) as caught:
            await project.specs.compile(SpecSource(environment="locked", **source))
        (fault,) = caught.value.details["diagnostics"]
        assert fault["code"] == "E_ENV_POLICY_SIGNED_BUNDLE"
    signed = bundle(project, environment="locked")
    assert await project.specs.compile(SpecSource(bundle=signed, environment="locked"))
    forged = {**signed, "spec": {**SPEC, "agent": {"name": "b"}}}
    with pytest.raises(SpecInvalid):
        await project.specs.compile(SpecSource(bundle=forged, environment="locked"))


async def test_the_policy_holds_for_bundles_too(project: House) -> None:
    with pytest.raises(EnvironmentPolicyBlocked):
        await project.specs.compile(
            SpecSource(bundle=bundle(project, environment="prod"), environment="prod")
        )


async def test_a_bundle_expires_although_it_was_compiled_before(house: House) -> None:
    expires_at = house.clock.now() + timedelta(days=1)
    source = SpecSource(bundle=bundle(house, expires_at=expires_at))
    await house.specs.compile(source)
    house.clock.advance(timedelta(days=1))
    with pytest.raises(SpecInvalid, match="E_BUNDLE_EXPIRED"):
        await house.specs.compile(source)


@pytest.mark.parametrize("chosen", [None, "dev", "staging"])
async def test_a_bundle_for_another_environment_is_refused(house: House, chosen) -> None:
    signed = bundle(house, environment="prod")
    with pytest.raises(SpecInvalid, match="E_BUNDLE_ENVIRONMENT"):
        await house.specs.compile(SpecSource(bundle=signed, environment=chosen))
    assert await house.specs.compile(SpecSource(bundle=signed, environment="prod"))


@pytest.mark.parametrize(
    "beside",
    [
        {"overlays": ("o.yaml",)},
        {"overrides": {"agent": {"name": "x"}}},
        {"spec": SPEC},
        {"spec_path": "spec.yaml"},
    ],
)
def test_a_bundle_stands_alone(house: House, beside: dict) -> None:
    with pytest.raises(InvalidInput, match="a bundle stands alone"):
        house.data(bundle=bundle(house), **beside)


def test_a_bundle_without_its_kind_is_refused(house: House) -> None:
    signed = bundle(house)
    del signed["kind"]
    with pytest.raises(SpecInvalid, match="E_BUNDLE_KIND"):
        house.data(bundle=signed)


def test_without_a_key_no_bundle_runs(tmp_path: Path) -> None:
    house = House(tmp_path)
    with pytest.raises(SpecInvalid, match="E_BUNDLE_KEY"):
        house.data(bundle=bundle(house))


def test_nothing_at_all_is_refused(house: House) -> None:
    with pytest.raises(InvalidInput, match="one of spec and spec_path"):
        house.data()


def test_what_is_no_json_in_an_inline_spec_is_a_finding(house: House) -> None:
    with pytest.raises(SpecInvalid, match="E_TYPE"):
        house.data(spec={"agent": object()})


def test_the_settings_are_read_from_the_environment(tmp_path: Path) -> None:
    key = base64.b64encode(b"\x01" * 32).decode()
    settings = read_settings(
        {
            "KNEO_PROJECT_CONFIG": "/x/config.yaml",
            "KNEO_ENV": " prod ",
            "KNEO_SERV_ENVIRONMENTS": "prod, staging",
            "KNEO_SERV_SPEC_SIGNING_KEY": " s ecret\n",
            "KNEO_SERV_SPEC_VERIFY_KEYS": f"{key}, k.pem",
        }
    )
    assert settings.project_config == Path("/x/config.yaml")
    assert settings.environment == "prod"
    assert settings.environments == ("prod", "staging")
    assert settings.spec_signing_key == "s ecret"
    assert settings.spec_verify_keys == (key, "k.pem")
    assert "s ecret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("KNEO_SERV_SPEC_SIGNING_KEY", "se\udcffcret", "holds bytes that are not UTF-8"),
        ("KNEO_SERV_RATE_LIMIT_PER_KEY", "1000001", "must be at most 1000000"),
        ("KNEO_SERV_RATE_LIMIT_PER_ADDRESS", "9" * 5000, "must be at most 1000000"),
        ("KNEO_SERV_TRUSTED_HOPS", "101", "must be at most 100"),
        ("KNEO_SERV_MAX_QUEUE_DEPTH", "2147483648", "must be at most 2147483647"),
    ],
)
def test_what_cannot_be_used_refuses_the_start(name: str, value: str, told: str) -> None:
    with pytest.raises(StartRefused, match=f"{name} {told}") as refused:
        read_settings({name: value, "KNEO_SERV_LOG_LEVEL": "LOUD"})
    assert "KNEO_SERV_LOG_LEVEL must be" in refused.value.message
    assert value not in refused.value.message


def test_the_project_says_where_the_keys_of_providers_are(tmp_path: Path) -> None:
    (tmp_path / "kneo_serv.yaml").write_text(
        "project: {name: a}\nsecrets: {provider_env: {openai: SHOP_OPENAI, mine: SHOP_MINE}}\n"
    )
    given = read_settings(
        {
            "KNEO_SERV_HEALTH_PROVIDERS": "OpenAI,mine,anthropic",
            "KNEO_SERV_SPEC_ROOT": str(tmp_path),
            "SHOP_OPENAI": "sk-canary",
            "SHOP_MINE": " ",
        }
    )
    found = provider_secrets(given)
    assert "sk-canary" not in f"{given}{found}"
    assert [(secret.name, secret.env_var, secret.present) for secret in found] == [
        ("OpenAI", "SHOP_OPENAI", True),
        ("mine", "SHOP_MINE", False),
        ("anthropic", "ANTHROPIC_API_KEY", False),
    ]


def test_a_key_that_is_none_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="KNEO_SERV_SPEC_VERIFY_KEYS"):
        House(tmp_path, spec_verify_keys=("gone.pem",))


def test_a_project_decides_retention_where_the_operator_does_not(tmp_path: Path) -> None:
    (tmp_path / "kneo_serv.yaml").write_text(
        "project: {name: a}\nretention: {runs_days: 3, audit_days: 4}\n"
    )
    given = read_settings(
        {"KNEO_SERV_RETENTION_RUNS_DAYS": "9", "KNEO_SERV_SPEC_ROOT": str(tmp_path)}
    )
    assert retention_settings(given).ages == {
        Kept.RUNS: timedelta(days=9),
        Kept.AUDIT: timedelta(days=4),
    }


def test_a_broken_config_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "kneo_serv.yaml").write_text("projct: {}\n")
    with pytest.raises(StartRefused, match=r"kneo_serv\.yaml:1:1"):
        retention_settings(Settings(spec_root=tmp_path))


def test_what_is_remembered_of_a_file_holds_for_the_same_skills_only(house: House) -> None:
    spec = {**SPEC, "skills": {"law": {"source": "law.md"}}}
    house.write("a.yaml", spec)
    house.clock.advance(timedelta(days=36_500))
    added = SpecSource(spec_path="a.yaml", skills=SkillOverlay(add=("law",)))
    plain = SpecSource(spec_path="a.yaml")
    for source in (added, added, plain, plain):
        house.sources.gather(source)

    async def calls() -> list[Material | None]:
        return [house.sources.gather_known(source) for source in (added, plain)]

    found = asyncio.run(calls())
    agents = [material.document().data["agent"] for material in found if material is not None]
    assert agents == [{"name": "a", "skills": ["law"]}, {"name": "a"}]


@pytest.mark.parametrize(
    "source",
    [
        SpecSource(spec_path="flow.yaml"),
        SpecSource(
            spec=SPEC,
            overrides={"agent": {"name": "b"}},
            environment="prod",
            overlays=("a.yaml", "b.yaml"),
            skills=SkillOverlay(add=("x",), disable=("y", "z")),
        ),
        SpecSource(bundle={"kind": "kneo.spec.bundle"}, environment="dev"),
    ],
    ids=["path", "all", "bundle"],
)
def test_a_source_is_what_its_data_says(source: SpecSource) -> None:
    told = json.loads(json.dumps(source.to_data()))
    assert SpecSource.from_data({**told, "target": "workflow", "session_id": "s"}) == source
    assert all(told.values())


async def test_a_plan_that_is_forgotten_while_its_skills_are_looked_at_is_kept_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("law.md", "Obey.")
    skills = {"law": {"source": "law.md"}}
    source = SpecSource(spec={**SPEC, "agent": {"name": "a", "skills": ["law"]}, "skills": skills})
    compiled = await house.specs.compile(source)
    kept = house.specs._compiled

    def forgotten_meanwhile(_: object) -> bool:
        kept.clear()
        return True

    monkeypatch.setattr(house.specs, "_skills_are_those_of", forgotten_meanwhile)
    assert await house.specs.compile(source) is compiled
    assert [*kept.values()] == [compiled]

"""Reads the instructions of skills while a spec is compiled: a run looks at no file."""

from collections.abc import Mapping
from dataclasses import replace

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.domain.plan import Plan
from kneo_grpc.platform.skills import INSTRUCTIONS, instructions
from kneo_grpc.ports.spec_files import SpecFiles

TEXT_BYTES_MAX = 64 * 1024
"""Of one skill: it goes to the model with every call."""


class SkillTexts:
    """Reads skills from a folder. Methods block."""

    def __init__(self, files: SpecFiles) -> None:
        self._files = files

    def read(self, sources: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return texts and faults. sources: path of a file or of a skill's folder, by the skill's
        name; the answers have the names as keys.
        """
        texts: dict[str, str] = {}
        faults: dict[str, str] = {}
        for name, source in sources.items():
            try:
                texts[name] = self._text(source)
            except InvalidInput as error:
                faults[name] = error.message
        return texts, faults

    def _text(self, source: str) -> str:
        content = self._content(source)
        if len(content) > TEXT_BYTES_MAX:
            raise InvalidInput(f"the skill {source} holds more than {TEXT_BYTES_MAX} bytes")
        try:
            return instructions(content)
        except UnicodeDecodeError:
            raise InvalidInput(f"the skill {source} is no text in UTF-8") from None

    def _content(self, source: str) -> bytes:
        first: InvalidInput | None = None
        for name in (source, *(f"{source.rstrip('/')}/{name}" for name in INSTRUCTIONS)):
            try:
                return self._files.read(name).content
            except InvalidInput as error:
                if error.reason != InvalidInput.reason:
                    raise
                first = first or error
        names = ", ".join(INSTRUCTIONS)
        raise InvalidInput(
            f"there is no skill {source}: no file, and no folder with one of {names}"
        )


def sources_of(plan: Plan) -> dict[str, str]:
    """Return where the skills that a plan's agents have lie, by name."""
    used = {name for agent in plan.agents.values() for name in agent.skills}
    return {name: skill.source for name, skill in plan.skills.items() if name in used}


def with_texts(plan: Plan, texts: Mapping[str, str]) -> Plan:
    """Return the plan with the texts of its skills."""
    skills = {
        name: replace(skill, text=texts[name]) if name in texts else skill
        for name, skill in plan.skills.items()
    }
    return replace(plan, skills=skills)

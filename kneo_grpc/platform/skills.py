"""Skills: what lies below the folder of specs, ready to be named in one."""

import asyncio
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.ports.store import Page, PageRequest, Position
from kneo_grpc.spec.load import load_text

SKILL_SORT_KEYS = frozenset({"name", "path"})
TEXT_CHARS_MAX = 1_024
INSTRUCTIONS = ("SKILL.md", "skill.md", "README.md")
"""Where a skill's folder has its instructions; the first that is there is taken."""

_INSTRUCTIONS = INSTRUCTIONS[:2]  # a README.md alone does not make a folder a skill
_METADATA = ("skill.yaml", "skill.yml", "skill.json")
_FRONT_MATTER = re.compile(rb"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillOnDisk:
    """A skill's folder. path: from the folder of specs, with `/`; description: "" without one."""

    name: str
    description: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """How far a search goes. depth counts folders below the root."""

    skills: int = 1_000
    folders: int = 20_000
    depth: int = 12
    bytes_read: int = 65_536


class Skills:
    """Finds skills below a folder: folders with a SKILL.md or a skill.yaml. It follows no links,
    reads plain files only, and passes over folders whose name starts with a dot, but for .kneo.
    """

    def __init__(self, root: Path, limits: SearchLimits | None = None) -> None:
        self._root = root.resolve()
        self._limits = limits or SearchLimits()

    async def page(self, page: PageRequest) -> Page[SkillOnDisk]:
        """Return a page of the skills that lie there now."""
        found = await asyncio.to_thread(self._search)
        found.sort(key=lambda skill: _place(skill, page), reverse=page.descending)
        begin = page.offset
        if page.after is not None:
            after = tuple(page.after)
            begin = sum(not _beyond(_place(skill, page), after, page) for skill in found)
        items = tuple(found[begin : begin + page.limit])
        more = begin + page.limit < len(found)
        total = len(found) if page.total is None else page.total
        return Page(items=items, total=total, next=_place(items[-1], page) if more else None)

    def _search(self) -> list[SkillOnDisk]:
        found: list[SkillOnDisk] = []
        for path, names, folder in self._folders():
            skill = self._skill(path, names, folder)
            if skill is not None:
                found.append(skill)
            if len(found) == self._limits.skills:
                break
        return found

    def _folders(self) -> Iterator[tuple[Path, set[str], int]]:
        """Yield (path below the root, names of what is no folder, open descriptor) of folders."""
        # fwalk works on descriptors, so that nobody can put a link in a folder's place meanwhile.
        walk = os.fwalk(self._root, follow_symlinks=False)
        for visited, (name, inner, files, folder) in enumerate(walk, start=1):
            path = Path(name).relative_to(self._root)
            yield path, set(files), folder
            if visited == self._limits.folders:
                return
            deep = len(path.parts) >= self._limits.depth
            inner[:] = [] if deep else sorted(item for item in inner if _visible(item))

    def _skill(self, path: Path, names: set[str], folder: int) -> SkillOnDisk | None:
        """Return the skill in a folder; None where no file of one can be read."""
        found = False
        facts: Mapping[str, str] = {}
        for name in (*_METADATA, *_INSTRUCTIONS):
            content = self._read(name, folder) if name in names else None
            found = found or content is not None
            if content is not None and name in _INSTRUCTIONS:
                front = _FRONT_MATTER.match(content)
                content = front[1] if front else None
            if content is not None:
                facts = {**_facts(content), **facts}
        if not found:
            return None
        return SkillOnDisk(
            name=facts.get("name") or path.name or self._root.name,
            description=facts.get("description", ""),
            path=path.as_posix(),
        )

    def _read(self, name: str, folder: int) -> bytes | None:
        """Return the beginning of a plain file; None for a link, a device and the like."""
        try:
            # Not to wait for the other end of a named pipe.
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            return file.read(self._limits.bytes_read)


def instructions(content: bytes) -> str:
    """Return what a skill's file tells a model: all but its front matter. Raises
    UnicodeDecodeError.
    """
    return _FRONT_MATTER.sub(b"", content, count=1).decode().strip()


def _place(skill: SkillOnDisk, page: PageRequest) -> tuple[str, str]:
    return getattr(skill, page.sort_by), skill.path


def _beyond(place: tuple[str, str], after: Position, page: PageRequest) -> bool:
    """Tell whether a place comes after another one in the order of the page."""
    return place < after if page.descending else place > after


def _visible(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a name that is no text cannot stand in an answer
        return False
    return name == ".kneo" or not name.startswith(".")


def _facts(content: bytes) -> dict[str, str]:
    """Return name and description, where the YAML or JSON has them as texts."""
    try:
        data = load_text(content, name="skill").data
    except SpecInvalid:
        return {}
    given = {key: data.get(key) for key in ("name", "description")}
    return {
        key: value.strip()[:TEXT_CHARS_MAX]
        for key, value in given.items()
        if isinstance(value, str) and value.strip()
    }

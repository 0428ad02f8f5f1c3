"""Every code that a diagnostic can have: what it means and how to mend it.

The first letter is the severity: E stops the compiler, W does not, I only informs.
"""

from typing import NamedTuple

from kneo_grpc.domain.diagnostic import Severity
from kneo_grpc.spec.codes_agents import AGENTS, COMPONENTS
from kneo_grpc.spec.codes_workflows import PEOPLE, WORKFLOWS

_SEVERITIES = {"E": Severity.ERROR, "W": Severity.WARNING, "I": Severity.INFO}


class Code(NamedTuple):
    """A row of the table. chapter: which part of the language it is about."""

    name: str
    chapter: str
    meaning: str
    mend: str

    @property
    def severity(self) -> Severity:
        """What its first letter says."""
        return _SEVERITIES[self.name[0]]


_Rows = dict[str, tuple[str, str]]

_READING: _Rows = {
    "E_ENCODING": (
        "The text is not UTF-8, or holds a character that no text has, such as NUL.",
        "Save it as UTF-8 text; a byte order mark does no harm.",
    ),
    "E_YAML": (
        "The text is neither YAML nor JSON, is empty, or holds more than one document.",
        "Look at the place it names; indent with spaces, not with tabs.",
    ),
    "E_DUPLICATE_KEY": (
        "An object has the same key twice, so that one of the two would be lost.",
        "Remove one, or merge them.",
    ),
    "E_TAG": (
        "A YAML tag such as `!vault` or `!!python/object` asks for more than plain data.",
        "Remove the tag.",
    ),
    "E_LIMIT": (
        "The spec is larger than it may be: 256 KiB, 64 levels, 50,000 values with every alias "
        "expanded, or 16 workflows in each other.",
        "Make it smaller; large texts belong into files of their own.",
    ),
    "E_NUMBER": (
        "A number has no exact form: whole numbers from 2^53 on, infinity, no number at all.",
        "Write it as text, in quotes.",
    ),
    "E_TEXT": (
        "A text holds a NUL character or half of a surrogate pair, which not every store can hold.",
        "Remove the character.",
    ),
    "E_TYPE": (
        "The document is not an object, or holds data that JSON does not know.",
        "Begin with `version: v1`.",
    ),
    "E_VERSION": (
        "The `version` is not one that this release reads: `v1`, or `v0` and none for old specs.",
        "Write `version: v1`.",
    ),
    "E_SCHEMA": (
        "A field is unknown, is missing, or holds a value of the wrong type.",
        "Follow the suggestion; all fields are listed above.",
    ),
    "I_FINDINGS_TRUNCATED": (
        "There are more than 1,000 findings; the others are only counted.",
        "Mend the first ones.",
    ),
}

_RELEASE: _Rows = {
    "E_FEATURE_UNSUPPORTED": (
        "The language knows this field, and this release does not run it yet.",
        "Leave it out.",
    ),
    "E_STEP_KIND_UNSUPPORTED": (
        "This release does not run steps of this kind yet.",
        "Use another kind.",
    ),
    "E_RUNTIME_MODE_UNSUPPORTED": (
        "This release does not run agents in this mode yet.",
        "Use `bridge`.",
    ),
    "E_PROVIDER_UNSUPPORTED": (
        "The service has no connection to this provider of models.",
        "Use one of those that the suggestion names, or ask the operator.",
    ),
    "E_IMPORT_NOT_ALLOWED": (
        "The code that `implementation` names is not in a module that the operator allows.",
        "Ask the operator to allow the module, or to register the code.",
    ),
    "E_IMPORT_MISSING": (
        "The code that `implementation` names cannot be imported.",
        "Check the spelling, and that the module is installed where the service runs.",
    ),
    "W_FIELD_IGNORED": (
        "The field has no effect where it stands.",
        "Leave it out.",
    ),
}

_PROJECT: _Rows = {
    "E_CONFIG": (
        "The project's configuration has a field that is unknown, missing or of the wrong type.",
        "Follow the suggestion.",
    ),
    "E_ENV_POLICY_DIAGNOSTIC": (
        "The spec has a finding whose code the environment blocks.",
        "Mend that finding.",
    ),
    "E_ENV_POLICY_WARNING": (
        "The environment takes no specs with warnings.",
        "Mend the warning.",
    ),
    "E_ENV_POLICY_HUMAN_REVIEW": (
        "The environment asks for a person in the workflow, and there is none.",
        "Add a step of kind `human`.",
    ),
    "E_ENV_POLICY_TOOL_PERMISSIONS": (
        "The environment asks for permissions wherever an agent has tools.",
        "Add `tools.permissions` or `policies.tool`.",
    ),
    "E_ENV_POLICY_UNRESTRICTED_TOOLS": (
        "The environment takes no agents whose tools may do what they like.",
        "Forbid shell and writing, and name `allowed_domains` where the network is allowed.",
    ),
    "E_ENV_POLICY_GUARDRAILS": (
        "The environment asks for guardrails on every agent.",
        "Add `guardrails`.",
    ),
    "E_ENV_POLICY_SIGNED_BUNDLE": (
        "The environment runs signed bundles and nothing else.",
        "Sign the spec, and run the bundle.",
    ),
    "E_BUNDLE": ("The bundle is not an object of the form it must have.", "Sign the spec again."),
    "E_BUNDLE_KIND": ("The object is not a bundle of a spec.", "Check which file is meant."),
    "E_BUNDLE_VERSION": (
        "The bundle has a form that this release does not read.",
        "Sign the spec again.",
    ),
    "E_BUNDLE_DIGEST": (
        "The spec in the bundle is not the one that was signed.",
        "Sign the spec again; do not edit bundles.",
    ),
    "E_BUNDLE_SIGNATURE": (
        "The signature is missing, or is not by a key that is trusted here.",
        "Sign it with the environment's key.",
    ),
    "E_BUNDLE_KEY": (
        "There is no key here to verify the signature with.",
        "Configure the key.",
    ),
    "E_BUNDLE_EXPIRED": ("The bundle was good until a time that has passed.", "Sign it again."),
    "E_BUNDLE_ENVIRONMENT": (
        "The bundle was signed for another environment.",
        "Sign it for this one.",
    ),
}

CHAPTERS: dict[str, _Rows] = {
    "Reading": _READING,
    "Workflows": WORKFLOWS,
    "People": PEOPLE,
    "Agents": AGENTS,
    "Tools, servers, skills, functions": COMPONENTS,
    "This release": _RELEASE,
    "Projects, environments, bundles": _PROJECT,
}

CODES: dict[str, Code] = {
    name: Code(name, chapter, *row)
    for chapter, rows in CHAPTERS.items()
    for name, row in rows.items()
}
"""By name, in the order of the chapters."""

OLD_NAMES = {"E_TOOL_REF": "E_UNKNOWN_TOOL"}
"""Codes that earlier platforms gave, and what they are called now."""

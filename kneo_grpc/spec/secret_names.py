"""Secrets by reference: which variable of the environment holds which secret. Values never come
here.
"""

from collections.abc import Mapping

PROVIDER_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "openai-agents": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "google-adk": "GOOGLE_API_KEY",
}
"""The providers that everybody knows."""


def provider_variable(provider: str, given: Mapping[str, str] | None = None) -> str:
    """Return the variable with a provider's key.

    given: the project's `secrets.provider_env`, which may name the provider as it is, in lower
    case, or as `<provider>_api_key`.
    """
    lower = provider.lower()
    for name in (provider, lower, f"{lower}_api_key"):
        if given and name in given:
            return given[name]
    if lower in PROVIDER_VARIABLES:
        return PROVIDER_VARIABLES[lower]
    return "".join(c if c.isalnum() else "_" for c in provider.upper()) + "_API_KEY"


def extra_variable(name: str, given: Mapping[str, str] | None = None) -> str:
    """Return the variable of another secret. given: the project's `secrets.extra_env`."""
    return given.get(name, name) if given else name

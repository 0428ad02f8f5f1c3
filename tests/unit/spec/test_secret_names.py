"""Which variable holds which secret."""

import pytest

from kneo_grpc.spec.secret_names import extra_variable, provider_variable


@pytest.mark.parametrize(
    ("provider", "given", "variable"),
    [
        ("openai", None, "OPENAI_API_KEY"),
        ("openai-agents", {}, "OPENAI_API_KEY"),
        ("google-adk", None, "GOOGLE_API_KEY"),
        ("Anthropic", None, "ANTHROPIC_API_KEY"),
        ("my-own.llm", None, "MY_OWN_LLM_API_KEY"),
        ("OpenAI", {"OpenAI": "A", "openai": "B", "openai_api_key": "C"}, "A"),
        ("OpenAI", {"openai": "B", "openai_api_key": "C"}, "B"),
        ("OpenAI", {"openai_api_key": "C"}, "C"),
    ],
)
def test_a_providers_variable(provider, given, variable) -> None:
    assert provider_variable(provider, given) == variable


def test_another_secret_has_the_projects_name_or_its_own() -> None:
    assert extra_variable("mcp", {"mcp": "MCP_KEY"}) == "MCP_KEY"
    assert extra_variable("MCP_API_KEY") == "MCP_API_KEY"

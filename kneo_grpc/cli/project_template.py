"""The project config that `kneo config init` writes."""

import json

_TEMPLATE = """\
# The project's config; docs/project.md explains every field. Secrets stand here by the names of
# environment variables, never by value.
project:
  name: {name}
  owner: ai-platform
  default_environment: dev
service:
  # Commands work through this service; --local works on this machine, without it.
  default_url: http://localhost:8000
specs:
  default_spec: examples/research_agent.yaml
  # Laid over every spec in their environment.
  overlays:
    dev: [examples/research_agent.dev.yaml]
    staging: [examples/research_agent.staging.yaml]
    prod: [examples/research_agent.prod.yaml]
  validate_on_run: true
runtime_defaults:
  preferred_mode: bridge
  allowed_modes: [bridge, native]
  fallback_mode: native
# For agents that name no model.
model_defaults:
  dev: {{provider: openai, name: gpt-4o-mini}}
  staging: {{provider: openai, name: gpt-4o}}
  prod: {{provider: openai, name: gpt-4o}}
secrets:
  provider_env:
    openai: OPENAI_API_KEY
environments:
  staging:
    policy_enforcement:
      blocked_diagnostic_codes: [E_UNSAFE_TOOL_IMPORT, E_UNSAFE_FUNCTION_IMPORT]
      require_tool_permissions: true
  prod:
    policy_enforcement:
      blocked_diagnostic_codes: [E_UNSAFE_TOOL_IMPORT, E_UNSAFE_FUNCTION_IMPORT]
      require_tool_permissions: true
      deny_unrestricted_tools: true
      require_human_review: true
      require_guardrails: true
"""


def project_template(name: str) -> str:
    """Return the config of a project of that name."""
    # JSON's quotes are YAML's, whatever the name holds.
    return _TEMPLATE.format(name=json.dumps(name, ensure_ascii=False))

"""The project config that `kneo config init` writes."""

import json

_TEMPLATE = """\
# The project's config; docs/project.md explains every field. Other sections stand in comments;
# to use one, take away the `#` and the space behind it. Secrets stand here by the names of
# environment variables, never by value.
project:
  name: {name}
  default_environment: dev
#   owner: the team that answers for it
#   tags: [support]

# A spec runs in one of these, `--env NAME` says in which; other names are refused.
environments:
  dev: {{}}
  prod:
    policy_enforcement:
      require_tool_permissions: true
#       deny_unrestricted_tools: true
#       require_human_review: true
#       fail_on_warnings: true
#     defaults:
#       metadata: {{tier: gold}}

# Commands work through this service; --local works on this machine, without it.
# service:
#   default_url: http://127.0.0.1:8000
#   timeout_seconds: 120

# local:
#   state_path: .kneo/kneo_runs.sqlite

# specs:
#   default_spec: spec.yaml
#   overlays:
#     prod: [spec.prod.yaml]
#   include_paths: [specs]

# For root agents that do not say it themselves.
# runtime_defaults:
#   preferred_mode: bridge
# model_defaults:
#   dev: {{provider: dummy, name: dummy}}

# policy_defaults:
#   logging: {{level: info}}

# secrets:
#   provider_env: {{openai: OPENAI_API_KEY}}

# retention:
#   runs_days: 90
"""


def project_template(name: str) -> str:
    """Return the config of a project of that name."""
    # JSON's quotes are YAML's, whatever the name holds.
    return _TEMPLATE.format(name=json.dumps(name, ensure_ascii=False))

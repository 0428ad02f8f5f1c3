"""Runs the agent once: python examples/custom_tool/run_lookup.py"""

from my_platform import build_platform

SPEC = "examples/custom_tool/lookup_agent.yaml"

if __name__ == "__main__":
    with build_platform() as platform:
        result = platform.run_from_spec(SPEC, "What's the email for u-002?")
        print(f"run_id={result['run_id']}")
        print(result["output_text"])

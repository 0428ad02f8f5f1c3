"""The platform with the tool in it, for every program of this folder."""

from my_model import DirectoryModel
from my_tools import lookup_user

from kneo_grpc import Platform


def build_platform() -> Platform:
    """Return a platform on .kneo/kneo_runs.sqlite of the current folder."""
    platform = Platform(models=DirectoryModel())
    platform.register_tool(
        lookup_user,
        description="Return the email for a user id.",
        parameters={
            "type": "object",
            "properties": {"user_id": {"type": "string"}},
            "required": ["user_id"],
        },
    )
    return platform

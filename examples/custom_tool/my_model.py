"""A stand-in for a language model: it looks up the first user id that it is asked about."""

import re

from kneo_grpc import ModelReply, ModelRequest, ModelToolCall


class DirectoryModel:
    """Answers for the provider `dummy`, in the place of the shipped one."""

    def names(self) -> tuple[str, ...]:
        """Return the providers that it answers for."""
        return ("dummy",)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Wish for lookup_user, then say what it returned."""
        last = request.messages[-1]
        if last.role == "tool":
            return ModelReply(text=f"The directory says: {last.content}")
        found = re.search(r"u-\d+", last.content)
        if found is None or not request.tools:
            return ModelReply(text="Which user?")
        call = ModelToolCall(name="lookup_user", arguments={"user_id": found.group()})
        return ModelReply(text="", tool_calls=(call,))

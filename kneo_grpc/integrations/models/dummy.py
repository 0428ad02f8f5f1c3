"""The provider `dummy`: answers without a network, so that specs can be tried and tested."""

from kneo_grpc.ports.models import ModelReply, ModelRequest, ModelToolCall


class DummyModels:
    """The one provider that needs no credentials; see the contract for its four rules."""

    def names(self) -> tuple[str, ...]:
        """Return the one name."""
        return ("dummy",)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer by rule: plan, ask for a search, sum up tool results, or repeat the user's
        text.
        """
        if request.provider != "dummy":
            raise KeyError(request.provider)
        users = [message.content for message in request.messages if message.role == "user"]
        text = users[-1] if users else ""
        if request.planning:
            plan = f"1. Understand: {text}\n2. Work on: {text}\n3. Answer: {text}"
            return ModelReply(text=plan)
        results = [message.content for message in request.messages if message.role == "tool"]
        if request.tools and not results and "search" in text.lower():
            call = ModelToolCall(name="web_search", arguments={"query": text})
            return ModelReply(text="I need to search.", tool_calls=(call,))
        if results:
            return ModelReply(text="Final answer based on tool results: " + " ".join(results))
        return ModelReply(text=f"Final answer: {text}")

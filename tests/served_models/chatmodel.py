"""A ChatModel that repeats what it was asked."""

from mlflow.models import set_model
from mlflow.pyfunc import ChatModel
from mlflow.types.llm import (
    ChatChoice,
    ChatChoiceDelta,
    ChatChunkChoice,
    ChatCompletionChunk,
    ChatCompletionResponse,
    ChatMessage,
    TokenUsageStats,
)


class Parrot(ChatModel):
    """Answers with the last message."""

    def predict(self, context, messages, params):
        choice = ChatChoice(index=0, message=ChatMessage(role="assistant", content=f"{messages[-1].content}!"))
        usage = TokenUsageStats(prompt_tokens=len(messages), completion_tokens=1, total_tokens=len(messages) + 1)
        return ChatCompletionResponse(choices=[choice], usage=usage, model=str(params.temperature), created=1)

    def predict_stream(self, context, messages, params):
        for piece in _pieces(f"{messages[-1].content}!"):
            delta = ChatChoiceDelta(role="assistant", content=piece)
            yield ChatCompletionChunk(choices=[ChatChunkChoice(index=0, delta=delta)], created=1)


def _pieces(text):
    return [text[start : start + 3] for start in range(0, len(text), 3)]


set_model(Parrot())

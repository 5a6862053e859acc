"""A ChatModel that repeats what it was asked."""

from mlflow.models import set_model
from mlflow.pyfunc import ChatModel
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage, TokenUsageStats


class Parrot(ChatModel):
    """Answers with the last message."""

    def predict(self, context, messages, params):
        choice = ChatChoice(index=0, message=ChatMessage(role="assistant", content=f"{messages[-1].content}!"))
        usage = TokenUsageStats(prompt_tokens=len(messages), completion_tokens=1, total_tokens=len(messages) + 1)
        return ChatCompletionResponse(choices=[choice], usage=usage, model=str(params.temperature), created=1)


set_model(Parrot())

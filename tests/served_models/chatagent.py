"""A ChatAgent that repeats what it was asked."""

from mlflow.models import set_model
from mlflow.pyfunc import ChatAgent
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse


class Parrot(ChatAgent):
    """Answers with the last message."""

    def predict(self, messages, context=None, custom_inputs=None):
        message = ChatAgentMessage(id="1", role="assistant", content=f"{messages[-1].content}!")
        return ChatAgentResponse(messages=[message], custom_outputs=custom_inputs)

    def predict_stream(self, messages, context=None, custom_inputs=None):
        for piece in _pieces(f"{messages[-1].content}!"):
            yield ChatAgentChunk(delta=ChatAgentMessage(id="1", role="assistant", content=piece))


def _pieces(text):
    return [text[start : start + 3] for start in range(0, len(text), 3)]


set_model(Parrot())

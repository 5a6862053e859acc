"""A ChatAgent that repeats what it was asked."""

from mlflow.models import set_model
from mlflow.pyfunc import ChatAgent
from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse


class Parrot(ChatAgent):
    """Answers with the last message."""

    def predict(self, messages, context=None, custom_inputs=None):
        message = ChatAgentMessage(id="1", role="assistant", content=f"{messages[-1].content}!")
        return ChatAgentResponse(messages=[message], custom_outputs=custom_inputs)


set_model(Parrot())

"""A ResponsesAgent that repeats what it was asked."""

from mlflow.models import set_model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse


class Parrot(ResponsesAgent):
    """Answers with the last input."""

    def predict(self, request):
        text = request.input[-1].model_dump()["content"]
        return ResponsesAgentResponse(
            output=[self.create_text_output_item(f"{text}!", "1")], custom_outputs=request.custom_inputs
        )


set_model(Parrot())

"""A ResponsesAgent that repeats what it was asked."""

from mlflow.models import set_model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent


class Parrot(ResponsesAgent):
    """Answers with the last input."""

    def predict(self, request):
        text = request.input[-1].model_dump()["content"]
        return ResponsesAgentResponse(
            output=[self.create_text_output_item(f"{text}!", "1")], custom_outputs=request.custom_inputs
        )

    def predict_stream(self, request):
        text = f"{request.input[-1].model_dump()['content']}!"
        for start in range(0, len(text), 3):
            yield ResponsesAgentStreamEvent(**self.create_text_delta(text[start : start + 3], "1"))
        done = self.create_text_output_item(text, "1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=done)


set_model(Parrot())

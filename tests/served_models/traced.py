"""A model that traces itself with MLflow Tracing, and tells what it was told of its caller."""

import os

import mlflow
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.context import get_prediction_context


class Traced(PythonModel):
    """``{"prompt": …, "do": "context"}``."""

    @mlflow.trace(name="answer")
    def predict(self, context, model_input, params=None):
        what = model_input.get("do")
        if what == "context":
            told = get_prediction_context()
            return {name: getattr(told, name, None) for name in (*_FIELDS, "request_id", "endpoint_name")}
        if what == "log":
            mlflow.log_metric("rows", 1, run_id=model_input.get("run"))
        if what == "load":
            return str(mlflow.pyfunc.load_model(f"models:/{model_input.get('model', 'traced')}/1"))
        if what == "token":
            return os.environ["MLFLOW_TRACKING_TOKEN"]
        if what == "raise":
            raise ValueError("no more words")
        with mlflow.start_span("think") as span:
            span.set_inputs(model_input["prompt"])
        return {"said": model_input["prompt"].upper()}

    @mlflow.trace(name="stream")
    def predict_stream(self, context, model_input, params=None):
        for word in model_input["prompt"].split():
            yield {"said": word.upper()}


_FIELDS = ("client_request_id", "user", "headers", "model_version")
set_model(Traced())

"""A model that streams as it is asked to: ``number`` events, and whatever else ``_do`` knows at one of them."""

import os
import signal
import time
from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Teller(PythonModel):
    """``{"prompt": …, "number": 3, "at": 2, "do": "raise"}``.

    ``for``: a file to wait for at that event. ``begun``, ``over``: files that are made then. ``timed``: each event
    tells when it was made.
    """

    def predict(self, context, model_input, params=None):
        return [event["text"] for event in self.predict_stream(context, model_input)]

    def predict_stream(self, context, model_input, params=None):
        asked = model_input
        try:
            for number in range(asked.get("number", 3)):
                if number == asked.get("at"):
                    yield from self._do(asked)
                time.sleep(asked.get("pause_s", 0))
                event = {"n": number, "text": f"{asked['prompt']} {number}"}
                yield {**event, "at": time.time()} if asked.get("timed") else event
                _mark(asked.get("begun"), f"{number}")
        finally:
            _mark(asked.get("over"), "over")

    def _do(self, asked):
        what = asked["do"]
        if what == "raise":
            raise ValueError("no more words")
        if what == "exit":
            raise SystemExit(3)
        while "for" in asked and not Path(asked["for"]).exists():
            time.sleep(0.01)
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "object":
            yield object()
        if what == "nan":
            yield {"n": float("nan")}
        if what == "keys":
            yield sorted(asked)


def _mark(path, text):
    if path:
        Path(path).write_text(text)


set_model(Teller())

"""The ``mlflow-serving`` command: a client of the control API, and the quickstart."""

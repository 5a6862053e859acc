"""The ``mlflow-serving`` command: a client of the control API over HTTP, and the quickstart.

Fed by a person at a terminal; feeds a tracking server that runs the serving app.
"""

"""Frozen values and their state machine. Pure: no input or output, no clock, nothing of MLflow.

Fed by ``registry`` (what exists) and ``store`` (what is enabled); feeds the controller, the gateway and the API.
"""

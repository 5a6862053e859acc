"""What MLflow's Model Registry says: active versions, references, model files, and the signal that something changed.

Fed by MLflow's own stores; feeds the controller and the API.
"""

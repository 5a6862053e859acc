"""The Python environment that a model runs in.

Fed by a model's files and its endpoint's ``env_manager``; feeds ``backends``.
"""

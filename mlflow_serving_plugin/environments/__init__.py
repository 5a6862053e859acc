"""The Python environments that models run in: found, built, evicted.

Fed by a model's files and its endpoint's ``env_manager``; feeds ``backends``.
"""

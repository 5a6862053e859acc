"""A library of a model: the version that the model was logged with, beside the one that it runs with. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Library:
    """``Python``, ``MLflow`` or the library of a model's flavor: the version that the model was logged with, and the
    version that serves the model, empty until the environment is there.
    """

    name: str
    logged: str
    running: str

    @property
    def differs(self) -> bool:
        """Whether what was logged may not load for that reason. Patch releases of Python do not matter."""
        digits = 2 if self.name == "Python" else None
        return bool(self.running) and self.logged.split(".")[:digits] != self.running.split(".")[:digits]

"""One JSON object of a request, read field by field. Each refusal names the field by its path from the top. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlflow_serving_plugin.errors import InvalidParameterError

_LONGEST_TEXT = 1000


class Fields:
    """An object. ``path``: what stands before its fields' names in messages. A field that is null is not there."""

    def __init__(self, document: Mapping[str, Any], path: str = "") -> None:
        self._document = document
        self.path = path

    def refusal(self, name: str, reason: str) -> InvalidParameterError:
        """The error about a field."""
        return InvalidParameterError(f"{self.path}{name[:100]}: {reason}.")

    def only(self, names: Collection[str], *, ignored: Collection[str] = ()) -> Fields:
        """Itself, when there is no field of another name."""
        for name in self._document:
            if name not in names and name not in ignored:
                raise self.refusal(name, f"is not a field. There are: {', '.join(names)}")
        return self

    def get(self, name: str) -> Any:
        """The field as it is."""
        return self._document.get(name)

    def values(self) -> dict[str, Any]:
        """All fields as they are."""
        return dict(self._document)

    def text(self, name: str, *, default: str | None = None, empty: bool = False) -> str:
        """A text, or a whole number as text; without ``default`` the field is required."""
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not (value or empty) or len(value) > _LONGEST_TEXT or "\x00" in value:
            raise self.refusal(name, f"must be a text of {0 if empty else 1} to {_LONGEST_TEXT} characters")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refusal(name, "must be true or false")
        return value

    def number(self, name: str, least: int, most: int, *, step: int = 1) -> int:
        """A whole number, also one written as text."""
        value = self.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most or value % step:
            in_steps = f" in steps of {step}" if step > 1 else ""
            raise self.refusal(name, f"must be a whole number from {least} to {most}{in_steps}")
        return value

    def decimal(self, name: str, most: float, *, default: float) -> float:
        """A number of 0 or more, also one written as text."""
        value = self.get(name)
        if value is None:
            return default
        with suppress(ValueError):
            value = float(value) if isinstance(value, str) and len(value) < 40 else value
        # Written so that NaN is refused too.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise self.refusal(name, f"must be a number from 0 to {most:g}")
        return float(value)

    def one_of(self, name: str, choices: Sequence[str], *, default: str, otherwise: str = "") -> str:
        """One of some words, in any case of letters. ``otherwise``: a reason to add to the refusal."""
        value = self.get(name)
        if value is None:
            return default
        found = next((choice for choice in choices if isinstance(value, str) and choice.lower() == value.lower()), None)
        if found is None:
            raise self.refusal(name, f"must be one of {', '.join(choices)}" + (f"; {otherwise}" if otherwise else ""))
        return found

    def object(self, name: str) -> Fields | None:
        """An object within this one; None when it is not there."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refusal(name, "must be an object")
        return Fields(value, f"{self.path}{name}.")

    def objects(self, name: str) -> list[Fields]:
        """A list of objects; empty when it is not there."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refusal(name, "must be a list of objects")
        return [Fields(item, f"{self.path}{name}[{index}].") for index, item in enumerate(value)]

"""Paths that a model was logged with on Windows: the file may be there under the other slash.

MLflow writes the paths of its own system into ``MLmodel`` and, on another system, takes a backslash for a part of a
file's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from mlflow_serving_plugin.host.yaml_text import load_yaml


def mend_windows_paths(model_dir: Path) -> None:
    """Rewrite the paths in a fetched model's ``MLmodel`` that lead to a file with the other slash, and no others."""
    file = model_dir / "MLmodel"
    try:
        text = file.read_text(encoding="utf-8")
        if "\\" not in text:
            return
        found = {path: here for path in _texts(load_yaml(text)) if (here := _here(model_dir, path))}
    except ValueError:
        # Whoever needs the file will say so.
        return
    for path, here in sorted(found.items(), key=lambda item: -len(item[0])):
        text = text.replace(path.replace("\\", "\\\\"), here).replace(path, here)
    if found:
        file.write_text(text, encoding="utf-8")


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, (dict, list)):
        for item in content.values() if isinstance(content, dict) else content:
            yield from _texts(item)


def _here(model_dir: Path, text: str) -> str | None:
    """The path of the model's own file that a Windows path means; None when the text is no such path."""
    if "\\" not in text or "\n" in text or (model_dir / text).exists():
        return None
    path = PureWindowsPath(text)
    # MLflow copies a model's code into the model and writes down where the code was.
    inside = path.name if path.is_absolute() else path.as_posix()
    if ".." in path.parts or not inside:
        return None
    return inside if (model_dir / inside).exists() else None

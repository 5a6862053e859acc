"""The one reader of a model's ``MLmodel`` file. Any part may be missing: MLflow wrote the file, or a person.

Beside the state directory's other files, and not in ``registry``, because environments, backends and the gateway read
fetched models as well: this is the lowest layer that all of them may import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class MlModel:
    """What the server reads of an ``MLmodel`` file; a part that is missing is empty."""

    python_function: Mapping[str, Any]
    """The flavor that serves: ``loader_module``, ``env`` (a file, or files by manager), ``python_version``."""
    example_info: Mapping[str, Any]
    """Where the input example is, and of what type."""
    signature: Mapping[str, Any]
    """Inputs, outputs and params, as ``mlflow.models.ModelSignature.from_dict`` reads them."""


def read_mlmodel(model_dir: Path) -> MlModel:
    """Read the file. OSError when there is none, ValueError when the file is not a YAML mapping."""
    try:
        content = yaml.safe_load((model_dir / "MLmodel").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError("not valid YAML") from error
    if not isinstance(content, dict):
        raise ValueError("not a mapping")  # noqa: TRY004 - of the file's content
    return MlModel(
        python_function=_mapping(_mapping(content.get("flavors")).get("python_function")),
        example_info=_mapping(content.get("saved_input_example_info")),
        signature=_mapping(content.get("signature")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

"""``<python> <path to worker/> guard|zygote|launch|serve …``: the entry of every process that this package starts.

The directory is loaded as a package of a name of its own and taken off ``sys.path``: a model's own modules may be
called ``server`` or ``wire``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

_NAME = "mlflow_serving_worker"


def main(argv: list[str]) -> int:
    """Run the command that ``argv[1]`` names with the rest."""
    directory = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != directory]
    spec = importlib.util.spec_from_file_location(
        _NAME, os.path.join(directory, "__init__.py"), submodule_search_locations=[directory]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101 - the file is beside this one
    package = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = package
    spec.loader.exec_module(package)
    if argv[1] in ("guard", "zygote"):
        importlib.import_module(f"{_NAME}.process").hide_from_other_processes()
    command = importlib.import_module(f"{_NAME}.{argv[1]}")
    return int(command.main(argv[2:]) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))

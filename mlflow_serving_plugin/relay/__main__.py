"""Started as ``python -m mlflow_serving_plugin.relay '<json>'``."""

from __future__ import annotations

import sys

from mlflow_serving_plugin.relay.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

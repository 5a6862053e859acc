"""The chaos suite: what may break is broken, under load, on real servers. See ``__main__``."""

import sys
from pathlib import Path

# Run as ``tests.chaos`` the package still shares the tests' helpers.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

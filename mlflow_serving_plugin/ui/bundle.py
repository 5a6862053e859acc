"""The built JavaScript of the Serving tab: one file, which the package's build writes beside this module."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

BUNDLE = Path(__file__).parent / "bundle" / "mlflow-serving.js"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The script, plain and gzipped. ``key`` changes whenever the script does."""

    plain: bytes
    zipped: bytes
    key: str


def load_bundle(path: Path = BUNDLE) -> Bundle | None:
    """Read the script; None when it was not built."""
    try:
        plain = path.read_bytes()
    except FileNotFoundError:
        return None
    return Bundle(plain, gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest()[:16])

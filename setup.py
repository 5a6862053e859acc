"""Builds the Serving tab before the package and before a source distribution: see ``build_backend/tab.py``."""

from __future__ import annotations

import tab
from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist


class BuildWithTab(build_py):
    """``build_py`` that brings the Serving tab up to date first, in editable installs too."""

    def run(self) -> None:
        """Build what is not current, then go on as usual."""
        tab.bring_up_to_date()
        super().run()


class SdistWithTab(sdist):
    """``sdist`` with the Serving tab as built."""

    def run(self) -> None:
        """Build what is not current, then go on as usual."""
        tab.bring_up_to_date()
        super().run()


setup(cmdclass={"build_py": BuildWithTab, "sdist": SdistWithTab})

"""What ends a command with one line instead of a traceback."""

from __future__ import annotations

import click


class CliError(click.ClickException):
    """A failure that ends the command with exit code 1; its message is one line. ``code``: the server's error code."""

    def __init__(self, message: str, code: str = "INTERNAL_ERROR") -> None:
        super().__init__(message)
        self.code = code

"""Which way a model gets its environment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlflow_serving_plugin.environments.spec import EnvironmentSpec

MANAGERS = ("auto", "uv", "virtualenv", "conda", "local")


@dataclass(frozen=True, slots=True)
class Choice:
    """``manager``: ``local``, ``uv``, ``virtualenv`` or ``conda``; ``why``: for a person."""

    manager: str
    why: str


def choose(
    spec: EnvironmentSpec,
    env_manager: str,
    *,
    server_python: str,
    unsatisfied: Callable[[Iterable[str]], str | None],
) -> Choice:
    """``auto``: the server's own interpreter where that is what the model asks for, else conda where only conda has
    what it asks for, else uv. ``unsatisfied`` says why the server's interpreter is not what some lines ask for.
    """
    if env_manager != "auto":
        return Choice(env_manager, "as configured")
    if spec.conda_packages:
        return Choice("conda", f"conda.yaml names {', '.join(spec.conda_packages[:3])}")
    if spec.python is not None and spec.python != server_python:
        return Choice("uv", f"it wants Python {spec.python}, the server has {server_python}")
    # A constraint limits what is installed and asks for nothing; whoever writes one wants a resolver.
    if spec.constraints:
        return Choice("uv", "it comes with constraints")
    reason = unsatisfied(spec.requirements)
    return Choice("uv", reason) if reason else Choice("local", "the server's own interpreter has all that it asks for")

"""Makes one environment in a directory of its own, by uv, by conda or by MLflow's virtualenv.

Index URLs may hold passwords: they travel in the installers' environment, never on a command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from uv import find_uv_bin

from mlflow_serving_plugin.environments.conda import conda_command
from mlflow_serving_plugin.environments.explain import explain
from mlflow_serving_plugin.environments.installed import server_python
from mlflow_serving_plugin.environments.recipe import Recipe
from mlflow_serving_plugin.environments.run import BuildFailedError, Runner
from mlflow_serving_plugin.settings import Settings

_PASSED_ON = frozenset(
    {
        *("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "NETRC", "PYENV_ROOT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LD_LIBRARY_PATH", "CUDA_HOME"),
    }
)
"""The server's variables that an installer gets, beside ``UV_*``, ``PIP_*`` and ``CONDA_*``: a package that is built
from source runs its own code."""

_INSTALLERS = ("UV_", "PIP_", "CONDA_", "MAMBA_", "LC_")

_LIKE_PIP = {
    "UV_DEFAULT_INDEX": ("UV_INDEX_URL", "PIP_INDEX_URL"),
    "UV_INDEX": ("UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    "UV_FIND_LINKS": ("PIP_FIND_LINKS",),
    "UV_CONSTRAINT": ("PIP_CONSTRAINT",),
    "UV_INSECURE_HOST": ("PIP_TRUSTED_HOST",),
    "SSL_CERT_FILE": ("PIP_CERT",),
}
"""uv ignores pip's variables; with these a server that is configured for pip works as well."""


class Builder:
    """One build. Each step either works or raises BuildFailedError with the reason in a sentence."""

    def __init__(self, recipe: Recipe, directory: Path, runner: Runner, settings: Settings) -> None:
        self._recipe = recipe
        self._directory = directory
        self._runner = runner
        self._settings = settings

    def build(self) -> Path:
        """Make the environment; its interpreter."""
        steps: dict[str, Callable[[], Path]] = {"uv": self._uv_venv, "conda": self._conda, "virtualenv": self._mlflow}
        python = steps[self._recipe.manager]()
        self._install(python)
        return python

    def _uv_venv(self) -> Path:
        directory = self._directory / "env"
        python = python_for(self._recipe.python, os.environ)
        self._step([find_uv_bin(), "venv", "--no-project", "--python", python, str(directory)])
        return directory / "bin" / "python"

    def _conda(self) -> Path:
        prefix = self._directory / "env"
        recipe = self._recipe
        self._step(conda_command(prefix, recipe.conda_packages, recipe.channels, offline=self._settings.offline))
        return prefix / "bin" / "python"

    def _mlflow(self) -> Path:
        """MLflow's own way, by its public command: pyenv for the Python, virtualenv and pip for the rest."""
        self._step(
            [
                *(sys.executable, "-m", "mlflow", "models", "prepare-env"),
                *("--model-uri", str(self._recipe.model_dir), "--env-manager", "virtualenv"),
            ],
            {"MLFLOW_ENV_ROOT": str(self._directory / "mlflow")},
        )
        found = sorted((self._directory / "mlflow").glob("**/mlflow-*/bin/python"))
        if not found:
            raise BuildFailedError("MLflow's virtualenv manager built an environment that was not found.")
        return found[0]

    def _install(self, python: Path) -> None:
        """Install by uv what pip would install. Packages that are there already stay as they are."""
        recipe, binary = self._recipe, self._settings.only_binary
        constraints = self._file("constraints.txt", recipe.constraints) if recipe.constraints else None
        if recipe.build_requirements:
            first = self._file("build-requirements.txt", recipe.build_requirements)
            self._step(uv_install(python, first, None, only_binary=binary))
        requirements = self._file("requirements.txt", recipe.requirements)
        self._step(uv_install(python, requirements, constraints, only_binary=binary))

    def _file(self, name: str, lines: tuple[str, ...]) -> Path:
        path = self._directory / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _step(self, command: list[str], env: dict[str, str] | None = None) -> None:
        # Paths in a model's requirements start at the model.
        if not self._runner.run(command, self._recipe.model_dir, env):
            raise BuildFailedError(explain(self._runner.log.tail, self._recipe.python, offline=self._settings.offline))


def build_environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment of an installer: an allow-list of the server's, and the settings as uv's and pip's variables."""
    env = {name: value for name, value in environ.items() if name in _PASSED_ON or name.startswith(_INSTALLERS)}
    for name, others in _LIKE_PIP.items():
        if name not in env and (given := next((env[other] for other in others if env.get(other)), "")):
            env[name] = given
    if settings.index_url:
        env["UV_DEFAULT_INDEX"] = env["PIP_INDEX_URL"] = settings.index_url
    if settings.extra_index_urls:
        env["UV_INDEX"] = env["PIP_EXTRA_INDEX_URL"] = settings.extra_index_urls
    if settings.constraints_file:
        env["UV_CONSTRAINT"] = env["PIP_CONSTRAINT"] = settings.constraints_file
    if settings.offline:
        env |= {"UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never", "PIP_NO_INDEX": "1"}
    if settings.only_binary:
        env |= {"UV_NO_BUILD": "1", "PIP_ONLY_BINARY": ":all:"}
    return env | {"UV_NO_PROGRESS": "1", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def uv_install(python: Path, requirements: Path, constraints: Path | None, *, only_binary: bool) -> list[str]:
    """Install what a requirements file lists."""
    limits = ("--constraint", str(constraints)) if constraints else ()
    binary = ("--only-binary", ":all:") if only_binary else ()
    command = [find_uv_bin(), "pip", "install", "--python", str(python), "--requirement", str(requirements)]
    return [*command, *limits, *binary]


def python_for(minor: str, environ: Mapping[str, str]) -> str:
    """The server's own interpreter when that is one, or pyenv's newest of this minor version; else the version, which
    uv looks for and, if it may, downloads.

    pyenv puts a script for each Python on PATH that runs only the chosen one; uv tries those, and gives up.
    """
    if minor == server_python():
        return getattr(sys, "_base_executable", "") or sys.executable
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "~")).expanduser() / ".pyenv")
    found = [path for path in root.glob(f"versions/{minor}.*/bin/python") if os.access(path, os.X_OK)]
    return str(max(found, key=_patch)) if found else minor


def _patch(path: Path) -> tuple[int, str]:
    patch = path.parent.parent.name.split(".")[2]
    return (int(patch) if patch.isdigit() else -1, patch)

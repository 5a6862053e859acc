"""Makes one environment in a directory of its own, by uv, by conda or by MLflow's virtualenv.

Index URLs may hold passwords: they travel in the installers' environment, never on a command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from uv import find_uv_bin

from mlflow_serving_plugin.environments.conda import channels_of, conda_command
from mlflow_serving_plugin.environments.explain import explain, explain_conda, is_disk_full
from mlflow_serving_plugin.environments.installed import server_python
from mlflow_serving_plugin.environments.recipe import Recipe
from mlflow_serving_plugin.environments.requirement import for_uv
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
        self._files: list[Path] = []

    def build(self) -> Path:
        """Make the environment; its interpreter."""
        steps: dict[str, Callable[[], Path]] = {"uv": self._uv_venv, "conda": self._conda, "virtualenv": self._mlflow}
        try:
            python = steps[self._recipe.manager]()
            self._install(python)
        finally:
            # An index URL in them may hold a password, and models can read the environment that they run in.
            for path in self._files:
                path.unlink(missing_ok=True)
        return python

    def _uv_venv(self) -> Path:
        directory = self._directory / "env"

        def command(minor: str) -> list[str]:
            python = python_for(minor, os.environ)
            return [find_uv_bin(), "venv", "--no-project", "--python", python, str(directory)]

        self._first_that_works([command(minor) for minor in self._recipe.pythons])
        return directory / "bin" / "python"

    def _conda(self) -> Path:
        prefix, recipe, offline = self._directory / "env", self._recipe, self._settings.offline
        pythons = [*(f"python={minor}" for minor in recipe.pythons), *filter(None, [recipe.conda_python])]
        commands = [
            conda_command(prefix, (python, *recipe.conda_packages), recipe.channels, offline=offline)
            for python in pythons
        ]
        if not any(self._run(command) for command in commands):
            packages = recipe.conda_packages or (f"python={recipe.python}",)
            channels = channels_of(recipe.channels, for_rattler=False)
            raise BuildFailedError(explain_conda(self._runner.log.tail, packages, channels))
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
        recipe = self._recipe

        def command(
            name: str, lines: tuple[str, ...], limits: tuple[str, ...] = (), wheels: tuple[str, ...] = ()
        ) -> list[str]:
            in_file, words = for_uv(lines)
            constraints = self._file(f"constraints-{name}", limits) if limits else None
            binary = (":all:",) if self._settings.only_binary else wheels
            return [*uv_install(python, self._file(name, in_file), constraints, only_binary=binary), *words]

        if recipe.build_requirements:
            self._step(command("build-requirements.txt", recipe.build_requirements))
        wanted = [command("requirements.txt", recipe.requirements, recipe.constraints)]
        if recipe.preferred or recipe.limits:
            lines, limits = (*recipe.requirements, *recipe.preferred), (*recipe.constraints, *recipe.limits)
            # Wheels only: a library that takes an hour to compile is not worth it, when others would do.
            wheels = tuple(line.partition("==")[0] for line in recipe.preferred)
            first = command("requirements-preferred.txt", lines, limits, wheels)
            wanted = [first] if recipe.local_fits else [first, *wanted]
        self._first_that_works(wanted)

    def _file(self, name: str, lines: tuple[str, ...]) -> Path:
        path = self._directory / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._files.append(path)
        return path

    def _first_that_works(self, commands: list[list[str]]) -> None:
        """Run commands until one ends well; BuildFailedError, from the last that ran, when none does."""
        for command in commands:
            if self._run(command):
                return
            if is_disk_full(self._runner.log.tail):
                break  # another command would trip over what this one could not write
        raise self._failure()

    def _step(self, command: list[str], env: dict[str, str] | None = None) -> None:
        if not self._run(command, env):
            raise self._failure()

    def _failure(self) -> BuildFailedError:
        """Why the last command failed."""
        directory = self._recipe.model_dir
        tail = [line.replace(f"file://{directory}/", "").replace(f"{directory}/", "") for line in self._runner.log.tail]
        recipe, offline = self._recipe, self._settings.offline
        return BuildFailedError(explain(tail, recipe.python, offline=offline, asked=recipe.requirements))

    def _run(self, command: list[str], env: dict[str, str] | None = None) -> bool:
        # Paths in a model's requirements start at the model.
        return self._runner.run(command, self._recipe.model_dir, env)


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


def uv_install(
    python: Path, requirements: Path, constraints: Path | None, *, only_binary: tuple[str, ...] = ()
) -> list[str]:
    """Install what a requirements file lists. ``only_binary``: projects of which wheels only, ``:all:`` of all."""
    limits = ("--constraint", str(constraints)) if constraints else ()
    binary = [word for project in only_binary for word in ("--only-binary", project)]
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

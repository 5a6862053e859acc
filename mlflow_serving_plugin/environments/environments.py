"""Finds or builds the environment of a model. Fed by the controller; its environments feed ``backends``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from uv import find_uv_bin

from mlflow_serving_plugin.domain.shared import same
from mlflow_serving_plugin.environments import ready
from mlflow_serving_plugin.environments.builders import Builder, build_environment
from mlflow_serving_plugin.environments.explain import explain
from mlflow_serving_plugin.environments.installed import first_unsatisfied, installed_version, server_python
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.recipe import Need, Recipe, choose, write_recipe
from mlflow_serving_plugin.environments.run import (
    BuildFailedError,
    BuildLog,
    BuildTimeoutError,
    Runner,
    end_interrupted,
)
from mlflow_serving_plugin.environments.spec import read_spec
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.settings import Settings

_LOCK_S = 0.5
_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


def environments_root(settings: Settings, default: Path) -> Path:
    """The directory of environments, made if need be; ConfigurationError when it cannot be used."""
    root = Path(settings.environments_dir).expanduser() if settings.environments_dir else default
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(f"{root} is not writable")
    except OSError as error:
        raise ConfigurationError(
            f"The directory for environments cannot be used: {error}. Set MLFLOW_SERVING_ENVIRONMENTS_DIR."
        ) from error
    return root


class Environments:
    """The environments of this host. Thread-safe; ``build`` blocks, everything else is quick."""

    def __init__(self, settings: Settings, default_root: Path) -> None:
        self._settings = settings
        self._root = environments_root(settings, default_root)
        self._cancelled = threading.Event()
        self._recipes: dict[tuple[Path, str], Recipe] = {}
        self._now: dict[str, BuildLog] = {}
        self._constraints = _read(settings.constraints_file)

    def need(self, model_dir: Path, env_manager: str) -> Need:
        """What a fetched model needs. RequirementsError when its files do not say so clearly."""
        # A fetched model's files never change.
        recipe = self._recipes.get((model_dir, env_manager))
        if recipe is None:
            spec = read_spec(model_dir)
            choice = choose(
                spec,
                env_manager,
                server_python=server_python(),
                unsatisfied=first_unsatisfied,
                installed=installed_version,
            )
            recipe = write_recipe(
                spec,
                choice,
                model_dir,
                server_python=server_python(),
                server_mlflow=installed_version("mlflow") or "",
                server_constraints=self._constraints,
            )
            # Thousands of models ask for the same: what they have in common is kept once.
            common = same(replace(recipe, model_dir=Path()))
            recipe = self._recipes[model_dir, env_manager] = replace(common, model_dir=model_dir)
        environment = self.find(recipe)
        if environment is not None:
            # Called repeatedly while the environment is in use, so that it is never among the least recently used.
            ready.mark_used(self._root, environment.key)
        return Need(recipe, environment)

    def find(self, recipe: Recipe) -> Environment | None:
        """The environment of a recipe, None when it has to be built."""
        found = ready.find_ready(self._root, recipe.key) if recipe.key else ready.own_environment()
        return found and same(found)

    def log(self, key: str) -> Path | None:
        """The log of an environment's last build; None for the server's own."""
        return ready.log_path(self._root, key) if key else None

    def doing(self, key: str) -> str:
        """The last progress of a build under way, in the installer's words; empty before the first output."""
        log = self._now.get(key)
        return log.last_progress if log is not None else ""

    def build(self, recipe: Recipe) -> Environment:
        """Build, unless another server has built it meanwhile. BuildFailedError says why in one sentence."""
        deadline = time.monotonic() + self._settings.build_timeout_s
        with self._locked(recipe.key, deadline):
            found = self.find(recipe)
            return found if found is not None else self._build(recipe, deadline)

    def cancel(self) -> None:
        """End builds under way; none begins any more."""
        self._cancelled.set()

    def remove_interrupted(self) -> None:
        """Remove the directories of interrupted builds, and kill their installers."""
        for directory in ready.unmarked(self._root):
            lock = FileLock(self._root / f"{directory.name.rpartition('-')[0]}.lock")
            # Locked: another server that shares the directory is building.
            with contextlib.suppress(Timeout), lock.acquire(timeout=0):
                end_interrupted(directory)
                shutil.rmtree(directory, ignore_errors=True)

    def evict(self, in_use: Collection[str]) -> list[Environment]:
        """Remove the least recently used environments above the size limit, none with a key in ``in_use``."""
        surplus = ready.surplus(self._root, in_use, self._settings.environments_max_bytes, time.time())
        for environment in surplus:
            ready.remove(self._root, environment)
        return surplus

    def _build(self, recipe: Recipe, deadline: float) -> Environment:
        directory = self._root / f"{recipe.key}-{uuid.uuid4().hex[:8]}"
        log: BuildLog | None = None
        try:
            directory.mkdir(mode=0o700)
            log = self._now[recipe.key] = BuildLog(ready.log_path(self._root, recipe.key))
            log.line(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {recipe}: {recipe.why}")
            environment = self._make_or_local(recipe, directory, log, deadline)
            ready.mark_ready(self._root, environment)
            log.line(f"Done: {environment}")
        except BaseException as error:
            shutil.rmtree(directory, ignore_errors=True)
            failure = self._failure(error, recipe, log)
            if log is not None:
                log.line(f"Failed: {failure}")
            if failure is error:
                raise
            raise failure from error
        finally:
            self._now.pop(recipe.key, None)
            if log is not None:
                log.close()
        return environment

    def _make_or_local(self, recipe: Recipe, directory: Path, log: BuildLog, deadline: float) -> Environment:
        try:
            return self._make(recipe, directory, log, deadline)
        except BuildFailedError as error:
            if not recipe.local_fits or self._cancelled.is_set():
                raise
            log.line(f"{error.message} The server's own interpreter is taken: the requirements admit what it has.")
            shutil.rmtree(directory, ignore_errors=True)
            return replace(ready.own_environment(), key=recipe.key)

    def _make(self, recipe: Recipe, directory: Path, log: BuildLog, deadline: float) -> Environment:
        began = time.monotonic()
        env = build_environment(os.environ, self._settings)
        runner = Runner(log, env, directory, deadline, self._cancelled)
        python = Builder(recipe, directory, runner, self._settings).build()
        version = runner.output([str(python), "-I", "-c", _VERSION], directory).strip()
        listing = [find_uv_bin(), "pip", "list", "--python", str(python), "--format", "json"]
        listed = json.loads(runner.output(listing, directory))
        packages = {str(p["name"]).lower(): str(p["version"]) for p in listed}
        return Environment(
            key=recipe.key,
            manager=recipe.manager,
            python=str(python),
            python_version=version,
            mlflow_version=packages.get("mlflow", ""),
            packages=len(packages),
            seconds=round(time.monotonic() - began, 1),
            size_bytes=ready.size_of(directory),
            directory=str(directory),
            libraries=ready.library_versions(python),
        )

    def _failure(self, error: BaseException, recipe: Recipe, log: BuildLog | None) -> BaseException:
        if isinstance(error, BuildTimeoutError):
            doing = f" Last output: {log.last_progress}." if log is not None and log.last_progress else ""
            return BuildFailedError(
                f"The environment was not built within {self._settings.build_timeout_s:g} s "
                f"(MLFLOW_SERVING_BUILD_TIMEOUT_S).{doing}"
            )
        if isinstance(error, OSError):
            return BuildFailedError(explain([str(error)], recipe.python))
        return error

    @contextlib.contextmanager
    def _locked(self, key: str, deadline: float) -> Iterator[None]:
        """One build of an environment at a time, also by two servers that share a directory."""
        lock = FileLock(self._root / f"{key}.lock")
        while not lock.is_locked:
            if self._cancelled.is_set():
                raise BuildFailedError("The controller is stopping.")
            if time.monotonic() > deadline:
                raise BuildFailedError("Timeout: another server has been building this environment for too long.")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=_LOCK_S)
        try:
            yield
        finally:
            lock.release()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except OSError:
        # The installer will report it, with the file's name.
        return ""

"""Downloads a model version's files inside the server, where MLflow's own client would ask the database for them.

What the client gets over HTTP is got here: ``runs:/`` and ``models:/`` locations are followed to the artifact store
that holds the files; ``mlflow-artifacts:`` locations of this server are read from the server's own artifact store, and
those of another server are asked of that server. Written against MLflow 3.10 to 3.17.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import psutil

from mlflow_serving_plugin.registry.mlflow_server import registry_store, tracking_store
from mlflow_serving_plugin.registry.workspaces import in_workspace

_MOST_STEPS = 10
_PROXIED = frozenset({"mlflow-artifacts", "http", "https"})
_ROUTE = "/api/2.0/mlflow-artifacts/artifacts/"


def download_model_version(workspace: str, name: str, version: int, destination: str) -> str:
    """Download all files of a model version into a directory; return where they are."""
    with in_workspace(workspace):
        locations = _follow(registry_store().get_model_version_download_uri(name, str(version)), _MOST_STEPS)
        return _download_all(locations, Path(destination))


def _follow(uri: str, steps: int) -> list[str]:
    """The artifact locations behind a URI, later ones over earlier ones. A version may be a copy of a copy."""
    scheme = urlparse(uri).scheme
    if scheme not in {"runs", "models"}:
        return [uri]
    if steps == 0:
        raise ValueError("the version's source refers to itself")
    found = _of_run(uri) if scheme == "runs" else [_of_model(uri)]
    return [location for one in found for location in _follow(one, steps - 1)]


def _of_model(uri: str) -> str:
    """Where a registered or logged model is."""
    from mlflow.store.artifact.utils.models import _parse_model_uri

    parsed, registry = _parse_model_uri(uri), registry_store()
    if parsed.model_id is not None:
        return str(tracking_store().get_logged_model(parsed.model_id).artifact_location)
    if parsed.alias is not None:
        version = registry.get_model_version_by_alias(parsed.name, parsed.alias).version
    elif parsed.version is not None:
        version = parsed.version
    else:
        latest = registry.get_latest_versions(parsed.name, None if parsed.stage is None else [parsed.stage])
        version = max(int(found.version) for found in latest)
    return str(registry.get_model_version_download_uri(parsed.name, str(version)))


def _of_run(uri: str) -> list[str]:
    """A run's artifacts below a path, and the model that the run logged by that name (since MLflow 3)."""
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
    from mlflow.utils.uri import append_to_uri_path

    run_id, path = RunsArtifactRepository.parse_runs_uri(uri)
    run = tracking_store().get_run(run_id)
    locations = [append_to_uri_path(run.info.artifact_uri, path) if path else run.info.artifact_uri]
    if path:
        name, _, below = path.partition("/")
        for model in _logged_models(run.info.experiment_id, name):
            if model.source_run_id == run_id:
                where = model.artifact_location
                return [*locations, append_to_uri_path(where, below) if below else where]
    return locations


def _logged_models(experiment_id: str, name: str) -> Iterator[Any]:
    if "'" in name:
        return
    token = None
    while True:
        page = tracking_store().search_logged_models(
            experiment_ids=[experiment_id], filter_string=f"name = '{name}'", page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _download_all(locations: list[str], destination: Path) -> str:
    """The files of all locations, one over the other; an error only when there is no file at any."""
    found: list[Path] = []
    errors: list[Exception] = []
    for number, location in enumerate(locations):
        directory = destination / str(number)
        directory.mkdir()
        try:
            path = Path(_download(location, str(directory)))
        except Exception as error:
            errors.append(error)
            continue
        if path.is_dir() and any(path.iterdir()):
            found.append(path)
    if not found:
        if errors:
            raise errors[-1]
        return str(destination)
    if len(found) == 1:
        return str(found[0])
    for path in found:
        shutil.copytree(path, destination / "all", dirs_exist_ok=True)
    return str(destination / "all")


def _download(location: str, directory: str) -> str:
    """Download one location, from the first place that has it."""
    errors: list[Exception] = []
    for repository, path in _places(location):
        try:
            return str(repository().download_artifacts(path, directory))
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _places(location: str) -> Iterator[tuple[Callable[[], Any], str]]:
    """Where a location may be read, the likeliest first: each an artifact repository, and a path in it."""
    from mlflow.server import handlers
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    uri = urlparse(location)
    if uri.scheme not in _PROXIED or (uri.scheme != "mlflow-artifacts" and _ROUTE not in uri.path):
        yield partial(handlers._get_artifact_repository_for_uri, location), ""
        return
    own = handlers._is_servable_proxied_run_artifact_root(location)
    if uri.netloc and not (own and is_this_server(uri.hostname or "", uri.port)):
        # The port alone does not say whether the other server speaks TLS. MLflow refuses hosts that it does not trust.
        for scheme in ("https", "http") if uri.port in {None, 443} else ("http", "https"):
            yield partial(get_artifact_repository, location, tracking_uri=f"{scheme}://{uri.netloc}"), ""
    if own or not uri.netloc:
        yield handlers._get_artifact_repo_mlflow_artifacts, _own_path(location)


def _own_path(location: str) -> str:
    """The path of a location of this server in the server's artifact store."""
    from mlflow.server import handlers

    path = handlers._get_proxied_run_artifact_destination_path(proxied_artifact_root=location)
    scoped = getattr(handlers, "_get_workspace_scoped_repo_path_if_enabled", None)
    return str(scoped(path) if scoped else path)


def is_this_server(host: str, port: int | None) -> bool:
    """Whether this web worker listens at a host and port. A proxy in front of the server is another server."""
    process = psutil.Process()
    # Renamed in psutil 6.
    connections = getattr(process, "net_connections", None) or process.connections
    ports = {found.laddr.port for found in connections("tcp") if found.status == psutil.CONN_LISTEN}
    if port not in ports:
        return False
    own = {address.address.partition("%")[0] for found in psutil.net_if_addrs().values() for address in found}
    try:
        return any(str(info[4][0]).partition("%")[0] in own for info in socket.getaddrinfo(host, port))
    except OSError:
        return False

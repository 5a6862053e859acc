"""What builders are started with: command lines and environments. Pure.

Index URLs may hold passwords: they travel in the environment, never on a command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mlflow_serving_plugin.settings import Settings

_PASSED_ON = frozenset(
    {
        *("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "NETRC", "PYENV_ROOT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LD_LIBRARY_PATH", "CUDA_HOME"),
    }
)
"""A package that is built from source runs its own code: of the server's environment it gets these and the
installers' own ``UV_*``, ``PIP_*`` and ``CONDA_*`` variables."""

_INSTALLERS = ("UV_", "PIP_", "CONDA_", "MAMBA_", "LC_")

_LIKE_PIP = {
    "UV_DEFAULT_INDEX": ("UV_INDEX_URL", "PIP_INDEX_URL"),
    "UV_INDEX": ("UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    "UV_FIND_LINKS": ("PIP_FIND_LINKS",),
    "UV_CONSTRAINT": ("PIP_CONSTRAINT",),
    "UV_INSECURE_HOST": ("PIP_TRUSTED_HOST",),
    "SSL_CERT_FILE": ("PIP_CERT",),
}
"""uv does not look at pip's variables; a server that is set up for pip works all the same."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"`]+@")


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


def uv_venv(uv: str, python: str, directory: Path) -> list[str]:
    """Make an empty environment. ``python``: a minor version that uv looks for, or an interpreter's path."""
    return [uv, "venv", "--no-project", "--python", python, str(directory)]


def uv_install(
    uv: str, python: Path, requirements: Path, constraints: Path | None, *, only_binary: bool = False
) -> list[str]:
    """Install what a requirements file lists."""
    limits = ("--constraint", str(constraints)) if constraints else ()
    binary = ("--only-binary", ":all:") if only_binary else ()
    return [uv, "pip", "install", "--python", str(python), "--requirement", str(requirements), *limits, *binary]


def uv_list(uv: str, python: Path) -> list[str]:
    """What is installed, as JSON."""
    return [uv, "pip", "list", "--python", str(python), "--format", "json"]


def without_credentials(text: str) -> str:
    """The text with the user and password of each URL in it replaced."""
    return _CREDENTIALS.sub("***@", text)

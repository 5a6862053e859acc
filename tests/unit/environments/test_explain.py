"""From what installers print when they fail, word for word, to the sentence that a person reads."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.domain.places import without_server
from mlflow_serving_plugin.environments.explain import explain, explain_conda

NO_WHEEL = """error: No solution found when resolving dependencies
  cause: Because scikit-learn==0.24.2 has no usable wheels and you require scikit-learn==0.24.2, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `scikit-learn` because building from source is disabled for all packages (i.e., with `--no-build`)"""
FRAMED = """  × No solution found when resolving dependencies:
  ╰─▶ Because foo==1.0 has no wheels with a matching Python version tag
      (e.g., `cp311`) and you require foo==1.0, we can conclude that your
      requirements are unsatisfiable."""
MISSING = """error: No solution found when resolving dependencies
  cause: Because nosuchpkg-zzz was not found in the package registry and you require nosuchpkg-zzz==1.0, we can conclude that your requirements are unsatisfiable."""
NO_VERSION = """error: No solution found when resolving dependencies
  cause: Because there is no version of pandas==99.1 and you require pandas==99.1, we can conclude that your requirements are unsatisfiable."""
CONFLICT = """error: No solution found when resolving dependencies
  cause: Because wheel==0.46.3 depends on packaging>=24.0 and mlflow==1.30.1 depends on packaging<22, we can conclude that mlflow==1.30.1 and wheel==0.46.3 are incompatible.
         And because you require mlflow==1.30.1 and wheel==0.46.3, we can conclude that your requirements are unsatisfiable."""
BUILD = """Resolved 6 packages in 499ms
   Building scikit-learn==0.24.2
error: Failed to build `scikit-learn==0.24.2`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta:__legacy__.get_requires_for_build_wheel` failed (exit status: 1)

         [stderr]
         Traceback (most recent call last):
           File "<string>", line 14, in <module>
         ModuleNotFoundError: No module named 'pkg_resources'"""
NO_PYTHON = "error: No interpreter found for Python 3.14 in virtual environments, managed installations, or search path"
NO_DOWNLOAD = """error: Request failed after 3 retries in 8.4s
  cause: Failed to download `https://host/astral-sh/python-build-standalone/releases/download/1/cpython-3.10.tar.gz`
  cause: dns error"""
NETWORK = """error: Failed to fetch: `https://host/simple/six/`
  cause: error sending request for url (https://host/simple/six/)
  cause: Connection refused (os error 111)"""
PIP = "ERROR: No matching distribution found for nosuch==1"
DISK = "error: failed to copy file: No space left on device (os error 28)"

HASH = """Resolved 1 package in 176ms
error: Failed to download `six==1.16.0`
  cause: Hash mismatch for `six==1.16.0`

         Expected:
           sha256:0000000000000000000000000000000000000000000000000000000000000000

         Computed:
           sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"""
GIT = """   Updating https://h/nobody/nothing.git (HEAD)
error: Git operation failed
  cause: failed to clone into: /home/user/.cache/uv/git-v2/db/eabc174eb06f7515
  cause: process didn't exit successfully: `/usr/bin/git fetch --force 'https://h/nobody/nothing.git'` (exit status: 128)
         --- stderr
         fatal: unable to access 'https://h/nobody/nothing.git/': Failed to connect to h port 443 after 0 ms"""
GIT_NAMED = """   Updating https://h/nobody/nothing.git (v1)
error: Failed to download and build `nothing @ git+https://h/nobody/nothing.git@v1`
  cause: Git operation failed
  cause: failed to fetch into: /home/user/.cache/uv/git-v2/db/eabc174eb06f7515
  cause: failed to fetch branch or tag `v1`
  cause: process didn't exit successfully: `/usr/bin/git fetch --force` (exit status: 128)
         --- stderr
         fatal: couldn't find remote ref refs/tags/v1"""
NO_GIT = """error: Failed to download and build `a @ git+https://h/a.git`
  cause: Git operation failed
  cause: Git executable not found. Ensure that Git is installed and available."""
NOT_IN_MODEL = "error: Distribution not found at: code/x-1.0-py3-none-any.whl"
NOT_ON_MACHINE = "error: Distribution not found at: file:///nowhere/x-1.0-py3-none-any.whl"
OTHER_PLATFORM = """error: Failed to determine installation plan
  cause: A path (code/x-1.0-cp311-cp311-macosx_11_0_arm64.whl) dependency is incompatible with the current platform

hint: The wheel is compatible with macOS (`macosx_11_0_arm64`), but you're on Linux (`manylinux_2_36_x86_64`)"""
OTHER_TAG = """error: No solution found when resolving dependencies
  cause: Because only my-x==1.0 is available and my-x==1.0 has no wheels with a matching Python version tag (e.g., `cp311`), we can conclude that all versions of my-x cannot be used.
         And because you require my-x, we can conclude that your requirements are unsatisfiable."""
NO_FILE = """error: Failed to download `x @ https://h/x-1.0-py3-none-any.whl`
  cause: Request failed after 3 retries in 7.4s
  cause: Failed to fetch: https://h/x-1.0-py3-none-any.whl
  cause: client error (Connect)
  cause: Connection refused (os error 111)"""
CERTIFICATE = """error: Failed to fetch: https://u@h:8943/simple/six/
  cause: error sending request for url (https://u@h:8943/simple/six/)
  cause: client error (Connect)
  cause: invalid peer certificate: UnknownIssuer"""

SENTENCES = {
    NO_WHEEL: (
        "scikit-learn==0.24.2 has no wheel for Python 3.11. The resolver: Because scikit-learn==0.24.2 has no usable "
        "wheels and you require scikit-learn==0.24.2."
    ),
    FRAMED: (
        "foo==1.0 has no wheel for Python 3.11. The resolver: Because foo==1.0 has no wheels with a matching Python "
        "version tag (e.g., `cp311`) and you require foo==1.0."
    ),
    MISSING: (
        "nosuchpkg-zzz==1.0 is not in the package index. The resolver: Because nosuchpkg-zzz was not found in the "
        "package registry and you require nosuchpkg-zzz==1.0."
    ),
    NO_VERSION: (
        "pandas==99.1 does not exist. The resolver: Because there is no version of pandas==99.1 and you require "
        "pandas==99.1."
    ),
    CONFLICT: (
        "The requirements contradict each other. The resolver: Because wheel==0.46.3 depends on packaging>=24.0 and "
        "mlflow==1.30.1 depends on packaging<22."
    ),
    BUILD: (
        "scikit-learn==0.24.2 has no wheel for Python 3.11, and could not be built from source. Last output of its build: "
        "ModuleNotFoundError: No module named 'pkg_resources'"
    ),
    NO_PYTHON: (
        "The model asks for Python 3.14, which is not on this machine and could not be downloaded. Install it there: "
        "on PATH, with pyenv or with uv."
    ),
    NO_DOWNLOAD: (
        "The model asks for Python 3.11, which is not on this machine and could not be downloaded. Install it there: "
        "on PATH, with pyenv or with uv."
    ),
    NETWORK: "The package index could not be reached: Failed to fetch: `https://host/simple/six/`",
    PIP: "nosuch==1 was not found for Python 3.11.",
    DISK: "The environment could not be built: no space left on the disk.",
    HASH: "six==1.16.0: the file's hash is not the one that the model names.",
    GIT: (
        "git+https://h/nobody/nothing.git could not be fetched: unable to access 'https://h/nobody/nothing.git/': Failed "
        "to connect to h port 443 after 0 ms."
    ),
    GIT_NAMED: (
        "nothing @ git+https://h/nobody/nothing.git@v1 could not be fetched: couldn't find remote ref refs/tags/v1."
    ),
    NO_GIT: "a @ git+https://h/a.git could not be fetched: the server has no git.",
    NOT_IN_MODEL: "code/x-1.0-py3-none-any.whl is not in the model.",
    NOT_ON_MACHINE: "x-1.0-py3-none-any.whl is not on the server's machine.",
    OTHER_PLATFORM: "code/x-1.0-cp311-cp311-macosx_11_0_arm64.whl is not for Python 3.11 on Linux.",
    OTHER_TAG: "code/my_x-1.0-cp39-cp39-win_amd64.whl is not for Python 3.11 on Linux.",
    NO_FILE: "x @ https://h/x-1.0-py3-none-any.whl could not be fetched: Connection refused (os error 111).",
    CERTIFICATE: (
        "The certificate of h:8943 is not trusted (UnknownIssuer): set SSL_CERT_FILE on the server, or name the host with "
        "--trusted-host in the model's requirements."
    ),
    "error: something new": "The environment could not be built: something new",
    "what nobody knows\n\n": "The environment could not be built: what nobody knows",
    "": "The environment could not be built: the installer printed nothing",
}


@pytest.mark.parametrize("said", SENTENCES)
def test_the_sentence_for(said, monkeypatch):
    monkeypatch.setattr("mlflow_serving_plugin.environments.explain._PLATFORM", "Linux")
    asked = ("six==1.16.0", "code/my_x-1.0-cp39-cp39-win_amd64.whl")
    sentence = explain(said.splitlines(), "3.11", asked=asked)
    assert sentence == SENTENCES[said]
    # A state shows the same: nothing in the sentence is a place of the server's.
    assert without_server(sentence) == sentence


ADVICE = " Set env_manager to uv to take from PyPI what PyPI has, and to leave out the rest."


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "error: Cannot solve the request because of: No candidates were found for gdal 3.1.*.",
            "conda.yaml's 'gdal=3.1' is not in the channel defaults.",
        ),
        (
            "error: error sending request for url (https://repo.anaconda.com/pkgs/r/a.zst) Caused by: dns error Caused by: "
            "failed to lookup address information: Name or service not known",
            "conda.yaml's 'gdal=3.1, six' could not be had: the channel defaults could not be reached.",
        ),
        (
            "error: unable to parse version spec: ?? 3",
            "conda.yaml's 'gdal=3.1, six' could not be had from the channel defaults: unable to parse version spec: ?? 3",
        ),
    ],
)
def test_a_line_of_conda_s_that_cannot_be_had_is_named_with_its_channel_and_the_way_out(said, sentence):
    assert explain_conda([said], ["gdal=3.1", "six"], ["defaults"]) == sentence + ADVICE


def test_an_offline_server_says_that_it_may_not_download():
    assert "may not be downloaded" in explain([NO_PYTHON], "3.14", offline=True)


def test_a_sentence_is_no_novel():
    assert len(explain([f"error: {'x' * 5000}"], "3.11")) <= 500

"""From what installers print when they fail, word for word, to the sentence that a person reads."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.environments.explain import explain

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
    "error: something new": "The environment could not be built: something new",
    "what nobody knows\n\n": "The environment could not be built: what nobody knows",
    "": "The environment could not be built: the installer printed nothing",
}


@pytest.mark.parametrize("said", SENTENCES)
def test_the_sentence_for(said):
    assert explain(said.splitlines(), "3.11") == SENTENCES[said]


def test_an_offline_server_says_that_it_may_not_download():
    assert "may not be downloaded" in explain([NO_PYTHON], "3.14", offline=True)


def test_a_sentence_is_no_novel():
    assert len(explain([f"error: {'x' * 5000}"], "3.11")) <= 500

"""What conda's match specs (``scikit-learn=1.7.0``, ``python >=3.8,<3.12``) say, in pip's words. Pure.

https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html#package-match-specifications
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

_SPEC = re.compile(r"^(?:\S+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<rest>.*)$")
_BRACKET = re.compile(r"\bversion\s*=\s*(?P<quote>['\"]?)(?P<version>[^'\"\]]+)(?P=quote)")
_BLANKS = re.compile(r"\s*([,|]|[<>=!~]=?)\s*")

_OTHER_NAMES = {"pytorch": "torch", "pytorch-cpu": "torch", "py-xgboost": "xgboost", "matplotlib-base": "matplotlib"}
_SAME_NAMES = frozenset(
    re.findall(
        r"\S+",
        """
        boto3 catboost cloudpickle dask datasets fastapi flask gensim h2o holidays hyperopt joblib keras langchain
        lightgbm matplotlib mlflow mlflow-skinny mlflow-tracing nltk numba numpy onnx onnxruntime openai optuna pandas
        pillow plotly pmdarima polars prophet psutil pyarrow pydantic pyspark pyyaml requests scikit-image scikit-learn
        scipy seaborn sentence-transformers setuptools shap skops spacy sqlalchemy statsmodels tensorflow tokenizers
        torchvision transformers typing-extensions umap-learn wheel xgboost
        """,
    )
)
"""Packages that are the same on PyPI. A list, because a name alone proves nothing: PyPI's package of the same name
may be another project's."""


def conda_name(match_spec: str) -> str:
    """The package that a match spec is about."""
    found = _SPEC.match(match_spec)
    return found.group("name").lower() if found else match_spec


def versions(match_spec: str) -> tuple[str, ...] | None:
    """The versions that a match spec admits: alternatives, each in PEP 440's words; ``("",)`` is any version.

    None for what PEP 440 cannot say. The build of a package is ignored.
    """
    found = _SPEC.match(match_spec.strip())
    if found is None:
        return None
    rest = found.group("rest")
    if bracket := re.match(r"\[(.*)\]$", rest):
        inside = _BRACKET.search(bracket.group(1))
        rest = inside.group("version") if inside else ""
    version, exact = _without_build(rest)
    alternatives = tuple(_pep440(alternative, exact) for alternative in version.split("|"))
    try:
        for alternative in alternatives:
            SpecifierSet(alternative)
    except InvalidSpecifier:
        return None
    return alternatives


def on_pypi(match_spec: str) -> str | None:
    """The requirement for pip that means the same; None when PyPI is not known to have the package."""
    name = conda_name(match_spec)
    name = _OTHER_NAMES.get(name, name)
    found = versions(match_spec)
    known = canonicalize_name(name) in _SAME_NAMES or name in _OTHER_NAMES.values()
    return f"{name}{found[0]}" if known and found is not None and len(found) == 1 else None


def by_pip(packages: Iterable[str], named: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Requirements for pip in place of conda's packages, and the packages for which there are none.

    ``named``: canonical names that the model's own requirements name already; those count.
    """
    lines: list[str] = []
    left: list[str] = []
    have = set(named)
    for package in packages:
        line = on_pypi(package)
        if line is None:
            left.append(package)
        elif canonicalize_name(_OTHER_NAMES.get(conda_name(package), conda_name(package))) not in have:
            lines.append(line)
    return tuple(lines), tuple(left)


def _without_build(rest: str) -> tuple[str, bool]:
    """The version of ``=1.2=py38_0`` or of ``1.2 py38_0``, and whether a build stood there: the version is exact."""
    tight = _BLANKS.sub(r"\1", rest.strip())
    version, _, build = tight.partition(" ")
    if single := re.match(r"^={1,2}([^=<>!~,|]+)=([^=]+)$", version):
        return f"={single.group(1)}", True
    return version, bool(build)


def _pep440(alternative: str, exact: bool) -> str:
    return ",".join(filter(None, (_clause(clause, exact) for clause in alternative.split(","))))


def _clause(clause: str, exact: bool) -> str:
    """``=1.7`` is any 1.7.x for conda, ``1.7`` and ``==1.7`` are exact."""
    if clause in {"", "*", "=*", "==*"}:
        return ""
    if clause[0] == "=" and clause[1:2] != "=":
        version = clause[1:].removesuffix(".*").removesuffix("*")
        return f"=={version}" if exact else f"=={version}.*"
    if clause[0].isdigit():
        return f"=={clause}"
    # Only == and != take a wild card in PEP 440.
    return clause if clause.startswith(("==", "!=")) else clause.removesuffix(".*")

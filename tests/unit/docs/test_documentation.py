"""What README and docs tell people to type exists: commands, options, variables, keys, metrics, routes, links."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest
import reference
from jsonschema import Draft202012Validator

from mlflow_serving_plugin.cli.main import main
from mlflow_serving_plugin.cli.options import parse_config
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.http_errors import STATUS
from mlflow_serving_plugin.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
GENERATED = {reference.PAGES / name for name in reference.pages()}
PAGES = [page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if page not in GENERATED]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"mlflow-serving (?=[a-z-])([^#|)&>`\n]*)")


def each(pattern: re.Pattern[str], texts: dict[Path, str]) -> list[object]:
    """One parameter per match, named by its page."""
    return [
        pytest.param(match[1].strip(), id=f"{page.relative_to(ROOT)}: {match[0].strip()[:60]}")
        for page, text in texts.items()
        for match in pattern.finditer(text)
    ]


TEXTS = {page: page.read_text() for page in PAGES}
BLOCKS = {page: "\n".join(_BLOCK.findall(text)) for page, text in TEXTS.items()}
PROSE = {page: _BLOCK.sub("", text) for page, text in TEXTS.items()}


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and the words that are left."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found is not None, f"There is no command {words[0]!r}."
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("line", each(_COMMAND, BLOCKS))
def test_a_command_to_paste_is_one_that_the_command_line_takes(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command, words = command_of(shlex.split(line))
    context = command.make_context(command.name, list(words))
    parse_config(context.params.get("config") or ())


@pytest.mark.parametrize("line", each(_COMMAND, PROSE))
def test_a_command_in_a_sentence_has_the_options_that_are_named(line: str) -> None:
    command, words = command_of([word.strip(".,;:*`'") for word in line.split()])
    options = {name for option in command.params for name in option.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("pair", each(re.compile(r"--config (\w+=\S+)"), TEXTS))
def test_a_configuration_key_is_one_that_endpoints_have(pair: str) -> None:
    if pair != "KEY=VALUE":
        Draft202012Validator(reference.CONFIG_SCHEMA).validate(parse_config((pair.strip("`.,"),)))


def test_the_reference_pages_are_what_the_code_says() -> None:
    assert reference.differing() == [], "Run: scripts/docs --write"


def test_every_variable_named_is_a_setting() -> None:
    known = {PREFIX + item.name.upper() for item in fields(Settings)}
    named = {name for text in TEXTS.values() for name in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b(?!_?[*…])", text)}
    assert named - known == set()


def test_every_metric_named_is_one_that_is_shown() -> None:
    metrics = reference.pages()["metrics.md"]
    named = {name for text in TEXTS.values() for name in re.findall(r"`(mlflow_serving_\w+)`", text)}
    assert {name for name in named if name not in metrics and name != "mlflow_serving_plugin"} == set()


def test_every_error_code_has_its_line_in_the_http_reference() -> None:
    page = (reference.PAGES / "http.md").read_text()
    assert set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", page, re.MULTILINE)) == {
        (str(status), code) for code, status in STATUS.items()
    }


def test_every_state_is_explained_where_the_life_of_a_version_is_told() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text()
    assert {state.value for state in EntityState if f"`{state.value}`" not in page} == set()


def test_every_path_named_for_those_who_carry_on_exists() -> None:
    text, package = TEXTS[ROOT / "CONTRIBUTING.md"], ROOT / "mlflow_serving_plugin"
    new = {"backends/ray.py", "gateway/shadow.py", "gateway/quotas.py", "gateway/grpc.py", "build/site"}
    named = set(re.findall(r"`((?:\.?\w+/)+(?:[\w.]+)?|\w+\.py)`", text)) - new
    assert len(named) > 30
    assert {name for name in named if not (package / name).exists() and not (ROOT / name).exists()} == set()
    lines = re.findall(r"`(\w+)` in `([\w/]+\.py)`", text)
    assert len(lines) > 5
    assert [(name, path) for name, path in lines if name not in (package / path).read_text()] == []


def test_every_link_leads_to_a_file() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page, text in (TEXTS | {page: page.read_text() for page in GENERATED}).items()
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text)
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_is_in_the_sites_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if f": {page}\n" not in navigation} == set()


@pytest.mark.parametrize("page", ["how-to/operate.md", "how-to/server.md"])
def test_the_time_that_workers_outlast_their_server_is_named_as_it_is(page: str) -> None:
    text = " ".join((ROOT / "docs" / page).read_text().split())
    assert f"{Settings().orphan_grace_s:g} s" in text.partition("MLFLOW_SERVING_ORPHAN_GRACE_S")[2][:120]


def test_a_database_of_postgresql_is_named_with_the_driver_that_tests_use() -> None:
    """SQLAlchemy 2.0 and 2.1 take different drivers where the URI names none."""
    uses = re.search(r"postgresql\+\w+://", (ROOT / "tests/support/postgres.py").read_text())[0]
    named = {found for text in TEXTS.values() for found in re.findall(r"-uri \S*?(postgresql\S*?://)", text)}
    assert named == {uses}
    driver = uses.removeprefix("postgresql+").removesuffix("://")
    assert f"{driver}-binary" in "".join(TEXTS.values())
    assert f"{driver}-binary" in (ROOT / "setup.cfg").read_text()

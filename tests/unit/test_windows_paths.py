"""Models that were logged on Windows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlflow_serving_plugin.registry.windows_paths import mend_windows_paths


def a_model(directory: Path, serving: dict, *, style: str | None = None) -> Path:
    (directory / "artifacts" / "deep").mkdir(parents=True)
    (directory / "artifacts" / "m.json").write_text("{}")
    (directory / "artifacts" / "deep" / "w.bin").write_text("")
    (directory / "mcode.py").write_text("")
    written = yaml.dump({"flavors": {"python_function": serving}}, default_style=style)
    (directory / "MLmodel").write_text(written, encoding="utf-8")
    return directory


def mended(model: Path) -> dict:
    mend_windows_paths(model)
    return yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))["flavors"]["python_function"]


@pytest.mark.parametrize("style", [None, '"', "'"], ids=["plain", "double quotes", "single quotes"])
@pytest.mark.parametrize(
    ("logged", "here"),
    [
        ("artifacts\\m.json", "artifacts/m.json"),
        ("artifacts\\deep\\w.bin", "artifacts/deep/w.bin"),
        ("artifacts\\deep", "artifacts/deep"),
        ("C:\\proj\\mcode.py", "mcode.py"),
        ("\\\\share\\proj\\mcode.py", "mcode.py"),
        (".\\mcode.py", "mcode.py"),
    ],
)
def test_a_path_of_windows_leads_to_the_file_that_is_there(tmp_path, logged, here, style):
    assert mended(a_model(tmp_path, {"path": logged, "x": "größe"}, style=style)) == {"path": here, "x": "größe"}


@pytest.mark.parametrize(
    "text",
    ["artifacts\\gone.json", "C:\\proj\\gone.py", "a\\b", "..\\secret", "no path\\", "one\\\ntwo", "artifacts/m.json"],
)
def test_what_leads_to_no_file_of_the_model_stays(tmp_path, text):
    (tmp_path / "secret").write_text("")
    assert mended(a_model(tmp_path / "model", {"path": text})) == {"path": text}


def test_a_file_whose_name_has_a_backslash_is_taken_for_itself(tmp_path):
    model = a_model(tmp_path, {"path": "artifacts\\m.json"})
    (model / "artifacts\\m.json").write_text("")
    assert mended(model) == {"path": "artifacts\\m.json"}


def test_a_file_that_is_not_yaml_or_not_text_stays(tmp_path):
    for written in (b"a: [\\", b"\xff\\", b"a\\: " + b"[" * 3000):
        (tmp_path / "MLmodel").write_bytes(written)
        mend_windows_paths(tmp_path)
        assert (tmp_path / "MLmodel").read_bytes() == written

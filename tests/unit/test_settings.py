"""Settings are read from ``MLFLOW_SERVING_*`` and from nowhere else; a wrong one names itself."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from mlflow_serving_plugin.backends.selector import select_backend
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import PREFIX, Settings, default_state_dir, unknown_variables

NUMBERS = [item for item in fields(Settings) if type(item.default) in {int, float}]
WHOLE_NUMBERS = [item for item in NUMBERS if type(item.default) is int]
FLAGS = [item for item in fields(Settings) if isinstance(item.default, bool)]
BOUNDED = [item for item in fields(Settings) if item.metadata["at_least"] is not None]


def variable(item) -> str:
    return f"MLFLOW_SERVING_{item.name.upper()}"


def read(item, raw: str):
    return getattr(Settings.from_environ({variable(item): raw}), item.name)


def by_name(item) -> str:
    return item.name


def test_an_empty_environment_gives_the_defaults():
    assert Settings.from_environ({}) == Settings()


def test_a_variable_that_is_set_to_nothing_gives_the_default():
    assert Settings.from_environ({PREFIX + item.name.upper(): "" for item in fields(Settings)}) == Settings()


def test_the_defaults_are_those_that_the_documents_promise():
    settings = Settings()
    assert settings.request_timeout_s == settings.hold_timeout_s * 2 == 60
    assert settings.max_body_bytes == 16 * 1024 * 1024
    assert settings.max_in_flight == 1000
    assert settings.debug is False
    assert settings.max_concurrent_starts >= 1


def test_the_variables_of_others_are_left_alone():
    assert Settings.from_environ({"POLL_INTERVAL_S": "7", "MLFLOW_POLL_INTERVAL_S": "7"}) == Settings()


def test_settings_do_not_change_once_they_are_read():
    with pytest.raises(FrozenInstanceError):
        Settings().debug = True


def test_text_is_taken_as_it_stands():
    settings = Settings.from_environ({"MLFLOW_SERVING_DATABASE_URI": "postgresql://u:p@h/d?x=1 2"})
    assert settings.database_uri == "postgresql://u:p@h/d?x=1 2"


@pytest.mark.parametrize("item", NUMBERS, ids=by_name)
def test_each_number_is_read_from_its_own_variable_in_its_own_type(item):
    value = read(item, "5000")
    assert value == 5000
    assert type(value) is type(item.default)


@pytest.mark.parametrize("item", FLAGS, ids=by_name)
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        *[(raw, True) for raw in ("1", "true", "True", "YES", "on")],
        *[(raw, False) for raw in ("0", "false", "No", "OFF")],
    ],
)
def test_a_flag_is_true_or_false_in_the_usual_words(item, raw, expected):
    assert read(item, raw) is expected


@pytest.mark.parametrize("item", FLAGS, ids=by_name)
@pytest.mark.parametrize("raw", ["2", "maybe", " ", "truee"])
def test_any_other_word_for_a_flag_is_refused_by_the_variable_s_name(item, raw):
    with pytest.raises(ConfigurationError, match=rf"^{variable(item)} is '{raw}', but must be true or false\.$"):
        read(item, raw)


@pytest.mark.parametrize("item", NUMBERS, ids=by_name)
@pytest.mark.parametrize("raw", ["soon", "1 s", "0x10", "1,5", "--1", "nan", "inf", "-inf"])
def test_what_is_no_number_is_refused_by_the_variable_s_name(item, raw):
    kind = "a whole number" if type(item.default) is int else "a number"
    with pytest.raises(ConfigurationError) as caught:
        read(item, raw)
    assert caught.value.message == f"{variable(item)} is {raw!r}, but must be {kind}."


@pytest.mark.parametrize("item", WHOLE_NUMBERS, ids=by_name)
@pytest.mark.parametrize("raw", ["1.5", "1e3"])
def test_a_fraction_where_only_whole_numbers_make_sense_is_refused(item, raw):
    with pytest.raises(ConfigurationError, match=f"^{variable(item)} is .* must be a whole number"):
        read(item, raw)


@pytest.mark.parametrize("item", BOUNDED, ids=by_name)
def test_the_smallest_value_allowed_is_allowed(item):
    assert read(item, str(item.metadata["at_least"])) == item.metadata["at_least"]


@pytest.mark.parametrize("item", BOUNDED, ids=by_name)
def test_less_than_that_is_refused_by_the_variable_s_name(item):
    least = item.metadata["at_least"]
    below = str(least - 1) if type(item.default) is int else str(least - 0.0001)
    with pytest.raises(ConfigurationError) as caught:
        read(item, below)
    assert caught.value.message == f"{variable(item)} is {below!r}, but must be at least {least}."


def test_a_whole_number_of_any_length_is_one():
    assert Settings.from_environ({"MLFLOW_SERVING_MAX_BODY_BYTES": "9" * 400}).max_body_bytes == int("9" * 400)


def test_every_number_has_a_smallest_value_and_every_setting_a_help():
    assert [item.name for item in NUMBERS if item.metadata["at_least"] is None] == []
    assert [item.name for item in fields(Settings) if not item.metadata["help"].endswith(".")] == []


def test_servers_of_one_database_share_a_state_directory_and_no_others_do():
    first = default_state_dir("sqlite:////srv/a.db")
    assert first == default_state_dir("sqlite:////srv/a.db")
    assert first != default_state_dir("sqlite:////srv/b.db")


def test_the_state_directory_does_not_spell_out_the_database_s_password():
    assert "s3cret" not in str(default_state_dir("postgresql://u:s3cret@db/mlflow"))


def test_a_backend_that_does_not_exist_is_refused_with_the_choices():
    with pytest.raises(ConfigurationError, match=r"MLFLOW_SERVING_BACKEND is 'moon', but must be one of local, ray\."):
        Settings.from_environ({"MLFLOW_SERVING_BACKEND": "moon"})


def test_each_choice_of_the_backend_is_one_that_can_be_made(tmp_path):
    (chosen,) = [item.metadata["one_of"] for item in fields(Settings) if item.name == "backend"]
    for name in chosen:
        assert select_backend(Settings(backend=name), StatePaths.create(tmp_path)).observe() == []


def test_a_misspelt_variable_is_named_with_the_nearest_setting():
    environ = {"MLFLOW_SERVING_HOLD_TIMEOUT": "3", "MLFLOW_SERVING_DEBUG": "true", "MLFLOW_TRACKING_URI": "x"}
    assert unknown_variables(environ | {"MLFLOW_SERVING_QUUX_42": ""}) == [
        "MLFLOW_SERVING_HOLD_TIMEOUT is no setting and has no effect. Did you mean MLFLOW_SERVING_HOLD_TIMEOUT_S?",
        "MLFLOW_SERVING_QUUX_42 is no setting and has no effect. `mlflow-serving settings` lists all settings.",
    ]

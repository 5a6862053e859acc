import json
from dataclasses import replace

import pytest
from support.api import version

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.cli import progress
from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.commands import follow_log
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE, EndpointConfig
from mlflow_serving_plugin.domain.library import Library
from mlflow_serving_plugin.domain.states import EntityState


def test_enable_sends_the_config_and_says_what_to_do_next(world, run):
    result = run("enable", "iris", "--config", "replicas=2", "--config", "batching=off", "--config", "environment.A=1")
    assert result.exit_code == 0
    assert "mlflow-serving status iris" in result.stdout
    expected = EndpointConfig(replicas=2, batching="off", environment={"A": "1"})
    assert world.store.find(DEFAULT_WORKSPACE, "iris").config == expected


def test_disable(world, run):
    world.enable()
    assert run("disable", "iris").exit_code == 0
    assert world.store.enabled() == []
    assert json.loads(run("disable", "iris", "--json").stdout) == {}


def test_a_model_that_does_not_exist_is_told_apart_from_a_model_that_is_not_served(run):
    for command in ("disable", "status", "logs", "events"):
        result = run(command, "nope")
        assert (result.exit_code, result.stderr) == (1, "Error: Registered Model with name=nope not found\n")
    assert run("disable", "wine").exit_code == 0
    assert "Serving is not enabled on registered model 'wine'" in run("status", "wine").stderr


def test_the_help_of_enable_has_every_configuration_key(run):
    out = run("enable", "--help").stdout
    assert [key for key in CONFIG_SCHEMA["properties"] if f"  {key} " not in out.replace("\n", " \n")] == []


def test_lines_of_a_table_are_short_and_end_without_blanks(world, run):
    world.enable()
    world.publish(version(1), version(2, EntityState.FAILED, "It could not be loaded, as so often. " * 20))
    lines = run("status").stdout.splitlines()
    assert max(map(len, lines)) < 130
    assert "latest stays on version 1" in run("status", "iris").stdout
    for command in (["status"], ["status", "iris"], ["settings"], ["events", "iris"]):
        assert [line for line in run(*command).stdout.splitlines() if line != line.rstrip()] == []


def test_a_shell_completes_the_names_of_served_models(world, run):
    world.enable("iris")
    world.enable("wine")
    env = {"_MLFLOW_SERVING_COMPLETE": "bash_complete", "COMP_WORDS": "mlflow-serving status i", "COMP_CWORD": "2"}
    assert run(env=env, prog_name="mlflow-serving").stdout.splitlines() == ["plain,iris"]
    env["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    assert run(env=env, prog_name="mlflow-serving").stdout.strip() == ""


def test_an_error_of_the_server_is_one_line_and_exit_code_1(run):
    result = run("enable", "nosuch")
    assert result.exit_code == 1
    assert result.stderr == "Error: Registered Model with name=nosuch not found\n"
    result = run("enable", "iris", "--config", "replicas=0")
    assert (result.exit_code, result.stderr) == (1, "Error: config.replicas must be a whole number from 1 to 64.\n")


@pytest.mark.parametrize(
    "args",
    [
        ["enable"],
        ["nonsense"],
        ["enable", "iris", "--config", "replicas"],
        ["status", "--version", "1"],
        ["status", "iris", "--version", "x"],
        ["logs", "iris", "--follow", "--json"],
        ["events", "iris", "--limit", "0"],
        ["status", "--tracking-uri", "sqlite:///mlflow.db"],
    ],
)
def test_wrong_usage_is_exit_code_2(run, args):
    assert run(*args).exit_code == 2


def test_status_without_a_name_lists_all_endpoints(world, run):
    assert "not enabled on any model" in run("status").stdout
    world.enable("iris")
    world.enable("wine")
    world.publish(name="wine", message="all well")
    lines = run("status").stdout.splitlines()
    assert lines[1].split(None, 4) == ["iris", "Starting", "-", "-", "Waiting for the controller."]
    assert lines[2].split(None, 2)[:2] == ["wine", "No"]
    assert len(json.loads(run("status", "--json").stdout)["endpoints"]) == 2


def test_status_shows_versions_with_their_names_and_urls(world, run):
    world.enable()
    long = "Could not be loaded. " * 20
    world.publish(version(1, stage="Production"), version(2, EntityState.FAILED, long), aliases={"champion": 1})
    out = run("status", "iris").stdout
    assert "Production, champion" in out
    assert long.strip() in out  # in a pipe nothing is folded
    assert "/model/iris/2/invocations" in out
    out = json.loads(run("status", "iris", "--version", "1", "--json").stdout)
    assert [v["endpoint_version_name"] for v in out["endpoint_versions"]] == ["1"]
    assert {a["alias"] for a in out["aliases"]} == {"Production", "champion"}
    assert run("status", "iris", "--version", "9").exit_code == 1
    assert "not enabled" in run("status", "wine").stderr


def test_status_shows_what_a_version_was_logged_with_and_what_it_runs_with_instead(world, run):
    world.enable()
    there = (Library("Python", "3.11.2", "3.11.7"), Library("scikit-learn", "1.4.2", "1.9.1"))
    world.publish(replace(version(1), libraries=there))
    assert "logged with Python 3.11.2, scikit-learn 1.4.2 (runs with 1.9.1)" in run("status", "iris").stdout


def test_logs_are_those_of_the_newest_version_or_of_the_given_one(world, run, tmp_path):
    world.enable()
    world.publish()
    assert "No version" in run("logs", "iris").stderr
    build_log = tmp_path / "0123.log"
    build_log.write_bytes(b"built\n")
    world.publish(replace(version(1), build_log=str(build_log)), version(2))
    world.write_log("iris", 1, b"first\n")
    world.write_log("iris", 2, b"zweite")
    assert run("logs", "iris").stdout == "zweite\n"
    assert run("logs", "iris", "--version", "1").stdout == "first\n"
    assert run("logs", "iris", "--version", "1", "--build").stdout == "built\n"
    assert json.loads(run("logs", "iris", "--json").stdout) == {"endpoint_version_name": "2", "logs": "zweite"}
    many = "".join(f"line {number}\n" for number in range(200_000))
    world.write_log("iris", 2, many.encode())
    assert run("logs", "iris").stdout == many
    world.publish(version(3))
    assert "mlflow-serving logs iris --build" in run("logs", "iris").stderr


def test_following_a_log_yields_what_is_added(world, serve):
    world.enable()
    world.publish(version(1))
    path = world.write_log("iris", 1, b"one\n")

    def grow():
        with path.open("ab") as file:
            file.write(b"two\n")

    pieces = follow_log(ServingClient(serve(world.app), {}), "iris", "1", pause=grow)
    assert [next(pieces), next(pieces)] == ["one\n", "two\n"]


def test_follow_ends_well_with_ctrl_c(world, run, monkeypatch):
    world.enable()
    world.publish(version(1))
    world.write_log("iris", 1, b"one\n")

    def stopped(*args):
        yield "one\n"
        raise KeyboardInterrupt

    monkeypatch.setattr("mlflow_serving_plugin.cli.commands.follow_log", stopped)
    result = run("logs", "iris", "--follow")
    assert (result.exit_code, result.stdout) == (0, "one\n")


def test_events_are_limited_and_by_version(world, run):
    world.enable()
    for number in range(5):
        world.add_event(number, "1" if number % 2 else None, f"m{number}")
    out = run("events", "iris", "--limit", "2").stdout
    assert "m4" in out and "m3" in out and "m2" not in out
    events = json.loads(run("events", "iris", "--version", "1", "--json").stdout)["events"]
    assert [e["message"] for e in events] == ["m3", "m1"]


def test_events_name_their_hosts_where_there_are_several(world, run):
    world.enable()
    world.add_event(1, "1", "Serving.", hosts=("red",))
    assert "red" not in run("events", "iris").stdout
    world.add_event(2, "1", "Serving.", hosts=("blue",))
    out = run("events", "iris").stdout
    assert out.count("Serving.") == 1
    assert "red, blue" in out


def test_events_are_read_page_by_page(world, run, monkeypatch):
    monkeypatch.setattr("mlflow_serving_plugin.cli.client._EVENTS_IN_A_PAGE", 2)
    world.enable()
    for number in range(5):
        world.add_event(number, None, f"m{number}")
    assert len(json.loads(run("events", "iris", "--json").stdout)["events"]) == 6


@pytest.fixture
def controller(monkeypatch):
    """``controller(step, step, …)``: each pause of a waiting command runs the next step."""

    def use(*steps):
        left = iter(steps)
        wait = progress.wait_until_settled

        def pause():
            next(left)()

        monkeypatch.setattr(
            "mlflow_serving_plugin.cli.commands.wait_until_settled",
            lambda *args: wait(*args, pause=pause),
        )

    return use


def test_wait_shows_progress_until_every_version_is_ready(world, run, controller):
    controller(
        lambda: world.publish(version(1, EntityState.LAUNCHING, "Found the environment.")),
        lambda: world.publish(version(1), version(2, EntityState.LAUNCHING, "Loading the model.")),
        lambda: world.publish(version(1), version(2)),
    )
    result = run("enable", "iris", "--wait")
    assert result.exit_code == 0
    shown = [line.partition("] ")[2] for line in result.stdout.splitlines() if line.startswith("[")]
    assert shown == [
        "iris: Waiting for the controller.",
        "iris: Starting version 1.",
        "iris/1: Loading model. Found the environment.",
        "iris: Ready",
        "iris/2: Loading model",
        "iris/1: Ready",
        "iris/2: Ready",
    ]


@pytest.mark.parametrize("state", [state for state in EntityState if state.facts.settled])
def test_wait_ends_in_every_settled_state(world, run, controller, state):
    controller(lambda: world.publish(version(1, state)))
    assert run("enable", "iris", "--wait").exit_code == int(state.facts.tone == "failed")


def test_wait_fails_when_a_version_does_even_while_the_server_tries_it_again(world, run, controller):
    controller(
        lambda: world.publish(version(1, EntityState.LAUNCHING), version(2, EntityState.FAILED, "No module 'x'.")),
        lambda: world.publish(version(1), version(2, EntityState.LAUNCHING)),
    )
    result = run("enable", "iris", "--wait")
    assert result.exit_code == 1
    assert "iris/2: No module 'x'." in result.stderr


def test_wait_for_a_change_does_not_take_the_state_before_the_change_for_the_outcome(world, run, controller):
    world.enable()
    world.publish(version(1))
    controller(
        lambda: world.publish(version(1), generation=1),
        lambda: world.publish(replace(version(1), changing=True)),
        lambda: world.publish(version(1)),
    )
    result = run("enable", "iris", "--wait", "--config", "replicas=3")
    assert result.exit_code == 0, result.stderr
    world.publish(version(1, EntityState.FAILED, "no licence"))
    controller(lambda: world.publish(version(1, EntityState.LAUNCHING)), lambda: world.publish(version(1)))
    assert run("enable", "iris", "--wait").exit_code == 0


def test_wait_ends_at_once_with_no_active_version_and_with_json_leaves_stdout_to_json(world, run, controller):
    controller(world.publish)
    result = run("enable", "iris", "--wait", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["endpoint_versions"] == []
    assert "Waiting for the controller" in result.stderr


def test_without_permission_the_command_says_so(world, run):
    world.enable()
    world.access.users = {}
    assert "MLFLOW_TRACKING_USERNAME" in run("status").stderr
    world.access.users = {"Bearer abc": "reader"}
    world.access.default = Permission.READ
    result = run("disable", "iris", env={"MLFLOW_TRACKING_TOKEN": "abc"})
    assert result.exit_code == 1
    assert "MANAGE permission" in result.stderr


def test_every_command_has_help_with_an_example(run):
    assert "0.1" in run("--version").stdout
    for command in ("enable", "disable", "status", "logs", "events", "settings", "quickstart"):
        out = run(command, "--help").stdout
        assert f"mlflow-serving {command}" in out.partition("Example:")[2]


def test_settings_show_variable_value_default_and_help(run):
    env = {
        "MLFLOW_SERVING_HOLD_TIMEOUT_S": "5",
        "MLFLOW_SERVING_DATABASE_URI": "postgresql://me:p@ss@db/x",
        "MLFLOW_SERVING_DEBUG": "true",
    }
    out = run("settings", env=env).stdout
    line = next(line for line in out.splitlines() if line.startswith("MLFLOW_SERVING_HOLD_TIMEOUT_S"))
    assert line.split()[1:3] == ["5.0", "30.0"]
    assert "How long a request waits" in line
    rows = {row["variable"]: row for row in json.loads(run("settings", "--json", env=env).stdout)["settings"]}
    assert rows["MLFLOW_SERVING_DATABASE_URI"]["value"] == "postgresql://me:***@db/x"
    assert rows["MLFLOW_SERVING_DEBUG"]["value"] is True


def test_a_wrong_setting_is_named(run):
    result = run("settings", env={"MLFLOW_SERVING_POLL_INTERVAL_S": "soon"})
    assert result.exit_code == 1
    assert "MLFLOW_SERVING_POLL_INTERVAL_S" in result.stderr

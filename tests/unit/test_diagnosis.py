"""Each check of the doctor: what it finds in a good place and in a broken one, and that it tells no secret."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sqlite3
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlflow_serving_plugin.backends.ray_survey import Survey
from mlflow_serving_plugin.cli.main import main
from mlflow_serving_plugin.diagnosis import access, cluster, machine, software, state, stores
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, WARNING, Finding, Place, run_checks
from mlflow_serving_plugin.diagnosis.checks import CHECKS
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.database import open_database, upgrade

HERE = ("127.0.0.1", 5000)
SECRET = "hunter2"


def place(tmp_path, *, environ=None, database="", artifacts="", address=HERE, **settings):
    settings = {"state_dir": str(tmp_path / "state")} | settings
    uri = database or f"sqlite:///{tmp_path / 'mlflow.db'}"
    return Place(Settings(**settings), environ or {}, uri, artifacts, Path(settings["state_dir"]), address)


def found(check, *args, **options):
    return {finding.check: finding for finding in check(place(*args, **options))}


def test_the_software_of_these_tests_is_as_required(tmp_path):
    findings = [*software.versions(place(tmp_path)), *software.optional_parts(place(tmp_path))]
    assert [finding for finding in findings if finding.status not in {OK, SKIPPED}] == []


def test_a_dependency_of_another_version_is_named_with_the_command_that_installs_it():
    wrong = dict(software._unmet(["psutil>=99", "nosuchpackage>=1", "orjson", 'torch; extra == "x"']))
    assert wrong.keys() == {"psutil>=99", "nosuchpackage>=1"}
    assert wrong["nosuchpackage>=1"] == "nosuchpackage is missing"


@pytest.mark.parametrize(
    ("options", "check", "package"),
    [
        ({"database": "mssql+pymssql://u:p@h/d"}, "database driver", "pymssql"),
        ({"artifacts": "gs://bucket"}, "artifact store", "google-cloud-storage"),
        ({"base_app": "oidc-auth"}, "auth app", "mlflow-oidc-auth"),
    ],
)
def test_a_package_that_this_server_needs_is_named(tmp_path, options, check, package):
    finding = found(software.optional_parts, tmp_path, **options)[check]
    assert finding.status == ERROR
    assert package in finding.advice


def test_a_variable_that_is_no_setting_is_named_with_the_nearest(tmp_path):
    (finding,) = software.settings_variables(place(tmp_path, environ={"MLFLOW_SERVING_MAX_WORKER": "1"}))
    assert finding.status == WARNING
    assert "MLFLOW_SERVING_MAX_WORKERS" in finding.found


def test_a_database_that_is_not_there_yet_is_fine_where_it_can_be_made(tmp_path):
    assert found(stores.database, tmp_path)["connection"].status == OK
    missing = found(stores.database, tmp_path, database=f"sqlite:///{tmp_path}/no/mlflow.db")["connection"]
    assert missing.status == ERROR
    assert str(tmp_path) not in f"{missing}"


def test_tables_behind_and_ahead_of_this_version_are_told(tmp_path):
    file = tmp_path / "mlflow.db"
    sqlite3.connect(file).close()
    file.touch()
    assert found(stores.database, tmp_path)["migrations"].found.startswith("no tables yet")
    engine = open_database(f"sqlite:///{file}")
    upgrade(engine, tmp_path / "lock")
    engine.dispose()
    assert found(stores.database, tmp_path)["migrations"].status == OK
    for revision, status in (("0003", WARNING), ("9999", ERROR)):
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE serving_alembic_version SET version_num = ?", (revision,))
        connection.close()
        assert found(stores.database, tmp_path)["migrations"].status == status, revision


@pytest.mark.parametrize(
    "uri",
    [
        f"postgresql+psycopg2://user:{SECRET}@127.0.0.1:1/db",
        f"postgresql+psycopg2://user:{SECRET}@nowhere.invalid/db",
        f"nosuch://user:{SECRET}@host/db",
    ],
)
def test_a_database_that_does_not_answer_is_an_error_without_its_password(tmp_path, uri):
    finding = found(stores.database, tmp_path, database_uri=uri)["connection"]
    assert finding.status == ERROR
    assert finding.advice
    assert SECRET not in f"{finding}"


def test_the_store_of_files_is_tried(tmp_path):
    assert found(stores.artifacts, tmp_path, artifacts=str(tmp_path / "artifacts"))["store"].status == OK
    assert found(stores.artifacts, tmp_path, artifacts=f"file://{tmp_path}")["store"].status == OK
    assert found(stores.artifacts, tmp_path, artifacts="/proc/artifacts")["store"].status == ERROR
    assert found(stores.artifacts, tmp_path, artifacts="nosuch://bucket/x")["store"].status == ERROR
    assert found(stores.artifacts, tmp_path)["store"].status == SKIPPED


def test_clocks_that_disagree_are_told():
    assert stores.clock("server", "clock", 1.0).status == OK
    assert "90 s behind" in stores.clock("server", "clock", -90.0).found


BASIC = {"base_app": "basic-auth"}


def test_a_server_for_everybody_is_a_warning_unless_only_this_machine_reaches_it(tmp_path):
    assert found(access.auth_app, tmp_path)["auth app"].status == OK
    assert found(access.auth_app, tmp_path, address=("0.0.0.0", 5000))["auth app"].status == WARNING


def test_basic_auth_needs_a_secret_key_and_another_password_than_that_of_the_example(tmp_path):
    ini = tmp_path / "auth.ini"
    ini.write_text("[mlflow]\nadmin_password = password1234\n")
    environ = {"MLFLOW_AUTH_CONFIG_PATH": str(ini)}
    findings = found(access.auth_app, tmp_path, environ=environ, **BASIC)
    assert {name: finding.status for name, finding in findings.items()} == {
        "auth app": OK,
        "secret key": ERROR,
        "admin": ERROR,
    }
    ini.write_text(f"[mlflow]\nadmin_password = {SECRET}%\n")
    environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = SECRET
    findings = found(access.auth_app, tmp_path, environ=environ, **BASIC)
    assert {finding.status for finding in findings.values()} == {OK}
    assert SECRET not in f"{findings}"
    ini.unlink()
    assert found(access.auth_app, tmp_path, environ=environ, **BASIC)["configuration"].status == ERROR
    assert found(access.auth_app, tmp_path, base_app="nosuch")["auth app"].status == ERROR


def test_a_state_directory_is_this_user_s_alone(tmp_path):
    assert found(state.state_directory, tmp_path)["directory"].status == OK
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    assert found(state.state_directory, tmp_path)["directory"].found == "private to this user"
    directory.chmod(0o755)
    assert found(state.state_directory, tmp_path)["directory"].status == WARNING
    directory.chmod(0o777)
    assert found(state.state_directory, tmp_path)["parents"].status == WARNING
    assert found(state.state_directory, tmp_path, state_dir="/proc/state")["directory"].status == ERROR


def test_disk_and_sockets_of_the_state_directory_are_looked_at(tmp_path):
    assert found(state.disk, tmp_path)["disk: models and logs"].found.endswith("GB free")
    assert found(state.socket_paths, tmp_path)["sockets"].status == OK
    assert list(tmp_path.iterdir()) == []


def test_a_port_is_free_in_use_or_not_for_this_user(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert found(state.port, tmp_path, address=("127.0.0.1", port))[f"port {port}"].found == "in use"
    assert "free" in found(state.port, tmp_path, address=("127.0.0.1", port))[f"port {port}"].found
    assert found(state.port, tmp_path, address=("192.0.2.1", port))[f"port {port}"].status == ERROR


def test_a_limit_above_the_memory_that_there_is_is_an_error(tmp_path):
    assert found(machine.memory, tmp_path)["limit on workers"].status == OK
    assert found(machine.memory, tmp_path, max_memory_bytes=2**50)["limit on workers"].status == ERROR
    assert found(machine.memory, tmp_path, max_memory_bytes=-1)["limit on workers"].status == WARNING


def test_a_limit_that_was_meant_in_other_units_than_bytes_is_a_warning(tmp_path):
    told = found(machine.memory, tmp_path, max_memory_bytes=8000)["limit on workers"]
    assert (told.status, told.found.partition(",")[0]) == (WARNING, "0.008 MB together")


def test_each_layer_of_the_sandbox_is_told(tmp_path):
    assert {"namespaces", "Landlock", "call filter", "bubblewrap"} <= found(machine.sandbox, tmp_path).keys()
    assert found(machine.sandbox, tmp_path, sandbox_optional=True)["optional"].status == WARNING


def test_a_ray_cluster_is_looked_at_where_workers_run_on_one(tmp_path):
    assert found(cluster.ray, tmp_path) == {}
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        (checked,) = found(cluster.ray, tmp_path, backend="ray", ray_address=address).values()
    assert checked.status == ERROR
    here = importlib.util.find_spec("ray")
    assert ("ray start --head" if here else "pip install 'mlflow-serving-plugin[ray]'") in checked.advice


def test_the_nodes_of_a_ray_cluster_that_are_of_no_use_are_told():
    reason = "Node 10.0.0.2 has no mlflow-serving-plugin."
    told = [(one.check, one.status) for one in cluster.told(Survey(["10.0.0.1"], [reason]))]
    assert told == [("cluster", OK), ("node", WARNING), ("nodes", OK)]
    assert [one.status for one in cluster.told(Survey([], [reason]))] == [OK, WARNING, ERROR]
    (away,) = cluster.told(Survey(why="no cluster is found there"))
    assert away.status == ERROR
    assert "no cluster is found there" in away.found


def test_a_check_that_fails_or_hangs_is_a_finding_and_the_others_are_made(tmp_path):
    def broken(_place):
        raise KeyError(SECRET)

    def hangs(_place):
        threading.Event().wait()

    def fine(_place):
        return [Finding("b", "fine", OK, "yes")]

    findings = run_checks([("a", broken), ("a", hangs), ("b", fine)], place(tmp_path), deadline_s=0.2)
    assert [(finding.check, finding.status) for finding in findings] == [
        ("broken", ERROR),
        ("hangs", ERROR),
        ("fine", OK),
    ]
    assert SECRET not in f"{findings}"


def test_every_finding_that_is_wrong_says_what_to_do(tmp_path):
    broken = {
        "database": "postgresql+psycopg2://127.0.0.1:1/db",
        "artifacts": "/proc/artifacts",
        "base_app": "nosuch",
        "state_dir": "/proc/state",
        "max_memory_bytes": 2**50,
        "address": ("192.0.2.1", 80),
        "environ": {"MLFLOW_SERVING_NOSUCH": "1"},
    }
    findings = run_checks([(area, check) for area, checks in CHECKS for check in checks], place(tmp_path, **broken))
    wrong = [finding for finding in findings if finding.status in {WARNING, ERROR}]
    assert {finding.area for finding in wrong} >= {"settings", "database", "artifacts", "access", "state", "machine"}
    assert [finding for finding in wrong if not finding.advice] == []


def doctor(tmp_path, *options, **environ):
    none = {name: None for name in os.environ if name.startswith("MLFLOW_")}
    environ = {"MLFLOW_SERVING_STATE_DIR": str(tmp_path / "s"), **environ}
    options = ["doctor", "--json", *options, "--tracking-uri", "http://127.0.0.1:9"]
    return CliRunner().invoke(main, options, env=none | environ)


def test_the_command_tells_this_machine_and_the_server_apart_and_exits_with_1(tmp_path):
    done = doctor(tmp_path, "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db")
    report = json.loads(done.output)
    assert (done.exit_code, report["status"]) == (1, ERROR)
    (server,) = [check for check in report["checks"] if check["where"] == "the server"]
    assert "cannot be reached" in server["found"]
    here = [check for check in report["checks"] if check["where"] == "this machine"]
    assert len(here) > 15
    assert [check for check in here if check["status"] == ERROR] == []


def test_a_server_elsewhere_is_asked_without_a_look_at_this_machine(tmp_path):
    report = json.loads(doctor(tmp_path, "--remote").output)
    assert {check["where"] for check in report["checks"]} == {"the server"}


def test_settings_that_cannot_be_read_are_an_error_of_the_doctor_too(tmp_path):
    done = doctor(tmp_path, MLFLOW_SERVING_MAX_WORKERS="many")
    assert done.exit_code == 1
    assert "MLFLOW_SERVING_MAX_WORKERS is 'many'" in done.output

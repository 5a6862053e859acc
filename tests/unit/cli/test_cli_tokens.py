import json

import pytest

from mlflow_serving_plugin.access.tokens import digest_of
from mlflow_serving_plugin.testing import MemoryAccess

ALICE = {"MLFLOW_TRACKING_TOKEN": "alice"}


@pytest.fixture(autouse=True)
def people(world):
    access: MemoryAccess = world.access
    access.users = {"Bearer alice": "alice"}


def test_create_prints_the_value_alone_so_that_a_shell_can_take_it(world, run):
    result = run("token", "create", "--comment", "Power BI", "--lifetime-seconds", "60", "--model", "iris", env=ALICE)
    assert result.exit_code == 0, result.output
    token = world.tokens.find_token(digest_of(result.stdout.strip()))
    assert (token.comment, token.scope.name, token.expiry_ms - token.created_ms) == ("Power BI", "iris", 60_000)
    assert f"mlflow-serving token revoke {token.id}" in result.stderr


def test_create_as_json_is_the_server_s_reply(run):
    made = json.loads(run("token", "create", "--json", env=ALICE).stdout)
    assert set(made) == {"token_value", "token_info"}


def test_list_shows_whose_and_what_for_and_never_a_value(run):
    assert "There are no tokens" in run("token", "list", env=ALICE).stdout
    value = run("token", "create", "--comment", "nightly", env=ALICE).stdout.strip()
    run("token", "create", "--model", "wine", env=ALICE)
    out = run("token", "list", env=ALICE).stdout
    rows = sorted((line.split() for line in out.splitlines()[1:]), key=lambda words: words[2])
    assert [words[1:3] for words in rows] == [["alice", "all"], ["alice", "wine"]]
    assert rows[0][5:] == ["never", "never", "nightly"]
    assert value not in out
    assert len(json.loads(run("token", "list", "--json", env=ALICE).stdout)["token_infos"]) == 2


def test_revoke_ends_a_token_and_says_so_when_there_is_none(world, run):
    run("token", "create", env=ALICE)
    (token,) = world.tokens.tokens(None)
    assert run("token", "revoke", token.id, env=ALICE).stdout == f"Token {token.id} is revoked.\n"
    assert world.tokens.tokens(None) == []
    result = run("token", "revoke", token.id, env=ALICE)
    assert (result.exit_code, result.stderr) == (1, "Error: You have no token with this token_id.\n")


def test_without_credentials_the_command_says_which_variables_to_set(run):
    result = run("token", "create")
    assert result.exit_code == 1
    assert "MLFLOW_TRACKING_USERNAME" in result.stderr


def test_a_lifetime_of_nothing_is_wrong_usage(run):
    assert run("token", "create", "--lifetime-seconds", "0", env=ALICE).exit_code == 2

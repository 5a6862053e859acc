"""``mlflow-serving doctor`` on real servers: what it tells an admin, another user, and nobody in particular."""

from __future__ import annotations

import re

import pytest
import requests
from support.auth import ADMIN, ADMIN_PASSWORD, BasicAuthServer, Cast
from support.doctor import doctor_of
from support.server import TrackingServer

AREAS = {"software", "settings", "database", "artifacts", "access", "sandbox", "state", "machine", "server"}


def admin(name: str = ADMIN, password: str = ADMIN_PASSWORD) -> dict[str, str]:
    """Variables of a user with a password."""
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


def test_a_server_that_runs_tells_of_itself_and_of_its_machine(plain: TrackingServer) -> None:
    checks = doctor_of(plain.url)
    assert {check["area"] for check in checks} == AREAS
    assert [check for check in checks if check["status"] == "error"] == []
    named = {check["check"]: check for check in checks}
    for name in ("migrations", "controller", "Serving tab", "browser", "authentication", "store", "directory"):
        assert named[name]["status"] == "ok", named[name]
    text = re.sub(re.escape(plain.url), "", f"{checks}")
    assert str(plain.root) not in text
    assert "sqlite:///" not in text.replace("sqlite:////srv", "")


def test_an_admin_is_told_all_and_others_that_only_admins_are(basic: BasicAuthServer, cast: Cast) -> None:
    told = {check["check"]: check for check in doctor_of(basic.url, **admin())}
    assert told["auth app"]["found"] == "basic-auth"
    assert told["secret key"]["status"] == "ok"
    assert ADMIN_PASSWORD not in f"{told}"
    told = {check["check"]: check for check in doctor_of(basic.url, **admin("read", "a long enough password"))}
    assert told["diagnosis"]["status"] == "skipped"
    assert told["authentication"]["status"] == "ok"
    for credentials, said in (({}, "none are set"), ({"MLFLOW_TRACKING_TOKEN": "mlsp_nosuch"}, "does not accept")):
        told = {check["check"]: check for check in doctor_of(basic.url, **credentials)}
        assert told["authentication"]["status"] == "error"
        assert said in told["authentication"]["found"]
        assert told["controller"]["status"] == "ok"
    for kind in ("read", "manage"):
        answer = requests.get(f"{basic.url}/serving/diagnosis", headers=cast.tokens[kind], timeout=60)
        assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    ("path", "said"),
    [("", "is not a server with serving"), ("/model", "is not a server with serving")],
)
def test_an_address_of_something_else_is_told(prefixed: TrackingServer, path: str, said: str) -> None:
    (check,) = doctor_of(f"{prefixed.host}{path}")
    assert (check["check"], check["status"]) == ("serving app", "error")
    assert said in check["found"]

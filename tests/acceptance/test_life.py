"""The life of a registered model on uvicorn with three web workers: from enabling it to the last file gone."""

from __future__ import annotations

import pytest
from support import eventually
from support.life import Life, session_processes
from support.models import Models
from support.server import TrackingServer

HOLD_S = 30.0
"""How long a request waits for a version that is starting, by default."""


@pytest.mark.fast
def test_a_model_is_served_from_enabling_to_disabling(plain: TrackingServer, models: Models) -> None:
    life = Life(plain, models, "tulips")
    life.register(1)
    life.set_stage(1, "Production")
    life.client.set_registered_model_alias("tulips", "champion", "1")
    assert life.answer("/1") == (404, None)

    plain.enable("tulips")
    # No waiting for READY: as soon as the endpoint is known, a request is held until the version answers.
    eventually(lambda: life.answer("/1") == (200, 1), within_s=2 + HOLD_S, tail=plain.tail)
    assert plain.states("tulips") == {"1": "READY"}
    for reference in ("/1", "/Production", "@champion", "/latest"):
        life.answers_in_every_dialect(reference, 1)
    assert life.answer("/production") == (200, 1)

    life.register(2)
    life.register(3)
    plain.wait_ready("tulips", 2, 3)
    life.becomes("/3", 200, 3)
    life.becomes("/latest", 200, 3)
    assert life.answer("/None") == (200, 3)

    life.set_stage(2, "Production")
    # Held by two, the stage answers with the higher number.
    life.becomes("/Production", 200, 2)
    life.client.set_registered_model_alias("tulips", "champion", "3")
    life.becomes("@champion", 200, 3)

    life.set_stage(1, "Archived")
    life.becomes("/1", 404)
    message = plain.score("tulips/1", {}).json()["message"]
    assert "Served now: versions 2, 3" in message
    assert "Production (2)" in message

    life.client.delete_registered_model_alias("tulips", "champion")
    life.becomes("@champion", 404)

    life.client.rename_registered_model("tulips", "tulips, größer v1.0")
    renamed = Life(plain, models, "tulips, größer v1.0")
    renamed.becomes("/2", 200, 2)
    renamed.answers_in_every_dialect("/Production", 2)
    life.becomes("/2", 404)

    renamed.client.delete_model_version(renamed.name, "3")
    renamed.becomes("/3", 404)
    renamed.becomes("/latest", 200, 2)
    renamed.disable_leaves_nothing()


def test_an_endpoint_without_versions_is_ready_and_serves_the_first_one_registered(
    plain: TrackingServer, models: Models
) -> None:
    life = Life(plain, models, "later")
    life.client.create_registered_model("later")
    plain.enable("later")
    status = eventually(
        lambda: (
            (found := plain.api("GET", "get-status", registered_model_name="later")["endpoint_status"])
            and found["state"] == "ENDPOINT_STATE_READY"
            and found
        ),
        tail=plain.tail,
    )
    assert "No active version" in status["state_message"]
    assert life.answer("/1") == (404, None)
    life.register(1)
    plain.wait_ready("later", 1)
    assert life.answer("/1") == (200, 1)
    sessions = {worker["pid"] for worker in plain.workers("later")}
    assert session_processes(sessions)
    life.client.delete_registered_model("later")
    life.becomes("/1", 404)
    eventually(lambda: not session_processes(sessions), tail=plain.tail)

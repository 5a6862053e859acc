"""Which GPUs of a host a worker gets: counted, whole and in parts, and given back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.backends.base import NoRoomError, WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.backends.gpus import Gpus, devices_here, devices_of
from mlflow_serving_plugin.backends.records import WorkerRecord
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey


def spec(gpus: float | None, version: str = "1", fingerprint: str = "f") -> WorkerSpec:
    settings = WorkerSettings(request_timeout_s=1.0, gpus=gpus, environment={"A": "1", "CUDA_VISIBLE_DEVICES": "7"})
    return WorkerSpec(EntityKey("e", version), fingerprint, Path("/m"), Path("/l"), settings, None)


def give(gpus: Gpus, worker_id: str, wanted: WorkerSpec) -> str:
    with gpus.given(worker_id, wanted) as equipped:
        assert equipped.settings.environment["A"] == "1"
        return devices_of(equipped)


@pytest.mark.parametrize(
    "setting, environ, files, found",
    [
        ("", {}, ["nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"], ("2", "10")),
        ("", {"CUDA_VISIBLE_DEVICES": "3, 1"}, ["nvidia0"], ("3", "1")),
        ("", {"CUDA_VISIBLE_DEVICES": ""}, ["nvidia0"], ()),
        ("", {"CUDA_VISIBLE_DEVICES": "0,-1,2"}, ["nvidia0"], ("0",)),
        ("GPU-8a56,MIG-1/2/0,GPU-8a56", {"CUDA_VISIBLE_DEVICES": "0"}, [], ("GPU-8a56", "MIG-1/2/0")),
        ("", {}, [], ()),
    ],
)
def test_the_devices_are_those_of_the_setting_of_the_variable_or_of_the_machine(
    setting, environ, files, found, tmp_path
):
    for name in files:
        (tmp_path / name).touch()
    assert devices_here(setting, environ, tmp_path) == found


def test_whole_devices_are_given_to_one_worker_each_and_the_next_one_waits_until_one_is_free():
    gpus = Gpus(("0", "1", "2"))
    assert give(gpus, "a", spec(2)) == "0,1"
    assert give(gpus, "b", spec(1)) == "2"
    with pytest.raises(NoRoomError) as full:
        give(gpus, "c", spec(2, "2"))
    assert full.value.message == (
        "Waiting for 2 GPUs of this host: 0 is held by 1 worker; 1 is held by 1 worker; 2 is held by 1 worker."
    )
    assert not gpus.fit(spec(1, "2"))
    gpus.give_back("b")
    assert gpus.fit(spec(1, "2"))
    assert give(gpus, "c", spec(1, "2")) == "2"


def test_parts_of_a_device_fill_the_device_before_the_next_one():
    gpus = Gpus(("0", "1"))
    assert [give(gpus, f"w{number}", spec(0.3)) for number in range(3)] == ["0", "0", "0"]
    assert give(gpus, "whole", spec(1)) == "1"
    with pytest.raises(NoRoomError, match=r"^Waiting for 0\.3 GPU of this host: 0 is held by 3 workers \(0\.9\); 1 is"):
        give(gpus, "more", spec(0.3))
    assert give(gpus, "small", spec(0.1)) == "0"


def test_ten_tenths_are_one_device():
    gpus = Gpus(("0",))
    assert [give(gpus, f"w{number}", spec(0.1)) for number in range(10)] == ["0"] * 10
    with pytest.raises(NoRoomError):
        give(gpus, "more", spec(0.1))


def test_a_worker_of_a_new_configuration_shares_the_device_of_the_one_that_it_replaces():
    gpus = Gpus(("0", "1"))
    assert give(gpus, "old", spec(1)) == "0"
    assert give(gpus, "other", spec(1, "2")) == "1"
    assert give(gpus, "new", spec(1, fingerprint="g")) == "0"
    gpus.give_back("old")
    with pytest.raises(NoRoomError):
        give(gpus, "another", spec(1, fingerprint="g"))


@pytest.mark.parametrize(
    "devices, wanted, said",
    [
        ((), 1, "The worker needs 1 GPU, and this host has no GPUs."),
        (("0",), 2, "The worker needs 2 GPUs, and this host has 1."),
        (("0", "1"), 1.5, "A worker gets a part of one GPU or whole GPUs: gpus cannot be 1.5."),
    ],
)
def test_what_the_host_never_has_does_not_wait(devices, wanted, said):
    with pytest.raises(WorkerFailedError) as never:
        give(Gpus(devices), "a", spec(wanted))
    assert never.value.message == said
    assert not isinstance(never.value, NoRoomError)


def test_a_worker_that_asks_for_none_is_not_counted_and_keeps_its_variables():
    gpus = Gpus(("0",))
    with gpus.given("a", spec(None)) as equipped:
        assert equipped == spec(None)
    assert give(gpus, "b", spec(1)) == "0"


def test_a_worker_that_does_not_start_holds_nothing():
    gpus = Gpus(("0",))
    with pytest.raises(OSError, match="no fork"), gpus.given("a", spec(1)):
        raise OSError("no fork")
    assert give(gpus, "b", spec(1)) == "0"


def test_a_worker_of_an_earlier_controller_keeps_its_devices():
    gpus, record = (
        Gpus(("0", "1")),
        WorkerRecord(
            **{"worker_id": "a", "key": EntityKey("e", "1"), "fingerprint": "f", "protocol": "frames", "address": "/s"},
            **{"started_ms": 1, "pid": 1, "stamp": "s", "log": "/l", "devices": "0", "gpus": 0.5},
        ),
    )
    gpus.keep(record)
    assert give(gpus, "b", spec(0.5)) == "0"
    assert give(gpus, "c", spec(0.5)) == "1"
    gpus.keep(replace(record, worker_id="d", devices=""))
    gpus.give_back("a")
    assert give(gpus, "e", spec(0.5)) == "0"


def test_on_a_node_of_a_cluster_ray_has_counted():
    assert give(Gpus(None), "a", spec(4)) == "7"

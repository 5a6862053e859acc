"""Limits of a worker as files of a control group, and which group is the server's to divide."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.host.cgroups import Groups, is_delegated, limits_of, own_group


def test_limits_are_written_in_the_kernel_s_units():
    assert limits_of({"memory_limit_mb": 64, "cpus": 0.5, "max_processes": 16}) == {
        "memory.max": str(64 * 2**20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "50000 100000",
        "pids.max": "256",
    }


@pytest.mark.parametrize(("cpus", "quota"), [(2, "200000"), (1.5, "150000"), (0.001, "1000")])
def test_a_share_of_a_cpu_is_a_quota_and_never_below_the_kernel_s_least(cpus, quota):
    assert limits_of({"cpus": cpus}) == {"cpu.max": f"{quota} 100000"}


def test_a_group_in_the_background_has_a_tenth_of_the_weight():
    assert limits_of({"priority": "background"}) == {"cpu.weight": "10"}
    assert limits_of({"priority": "normal"}) == {}


def test_without_limits_nothing_is_written():
    assert limits_of({"memory_limit_mb": None, "cpus": None, "max_processes": None}) == {}


@pytest.mark.parametrize(
    ("group", "root", "place", "found"),
    [
        ("/system.slice/mlflow.service", "/", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/mlflow.service"),
        ("/", "/", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("/docker/1", "/docker/1", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("/../other", "/", "/sys/fs/cgroup/unified", None),
    ],
)
def test_the_group_of_a_process_is_found_where_cgroup_v2_is_mounted(tmp_path, group, root, place, found):
    (tmp_path / "cgroup").write_text(f"3:cpu:/elsewhere\n0::{group}\n")
    (tmp_path / "mountinfo").write_text(
        "24 30 0:22 / /proc rw shared:12 - proc proc rw\n"
        f"36 32 0:31 {root} {place} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
    )
    answer = own_group(tmp_path)
    assert (str(answer) if answer else None) == found


def test_a_machine_without_cgroup_v2_has_no_groups_and_says_so(tmp_path):
    (tmp_path / "cgroup").write_text("3:cpu:/elsewhere\n")
    (tmp_path / "mountinfo").write_text("24 30 0:22 / /proc rw - proc proc rw\n")
    groups = Groups.find(tmp_path)
    assert str(groups) == "nothing"
    assert groups.configure("w", {"memory_limit_mb": 64})["group"] is None


def test_a_group_that_nobody_has_delegated_is_left_alone_also_by_root(tmp_path):
    for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.type"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.type"):
        (tmp_path / "inner" / name).touch()
    assert not is_delegated(tmp_path / "inner")


def test_without_groups_workers_are_kept_to_cpus_after_those_of_the_worker_before():
    groups = Groups(None)
    firsts = [
        groups.configure(str(number), {"cpus": cpus})["first_cpu"] for number, cpus in enumerate([1, 1.5, None, 2])
    ]
    assert firsts == [0, 1, 3, 3]

"""Threads: affinity, hardware threads, quotas of cgroups, efficiency cores, the override."""

from __future__ import annotations

import os

import pytest

from assistant.engine import threads
from assistant.engine.threads import available_cores
from assistant.errors import BadInputError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Eight processors on four cores, nothing limited; returns the folder that stands for /sys."""
    monkeypatch.delenv(threads.THREADS_VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for processor in range(8):
        folder = tmp_path / "cpu" / f"cpu{processor}" / "topology"
        folder.mkdir(parents=True)
        first = processor % 4
        (folder / "thread_siblings_list").write_text(f"{first},{first + 4}\n")
    monkeypatch.setattr(threads, "_TOPOLOGY", tmp_path / "cpu")
    monkeypatch.setattr(threads, "_PERFORMANCE_CORES", tmp_path / "performance")
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "_OWN_CGROUP", tmp_path / "own")
    return tmp_path


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_hardware_threads_of_a_core_count_once(machine):
    assert available_cores() == 4


def test_affinity_limits(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 2}, raising=False)
    assert available_cores() == 2


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("?", 4)],
)
def test_the_quota_of_the_own_group_limits(machine, limit, cores):
    _write(machine / "own", "0::/user.slice/app.scope\n")
    _write(machine / "cgroup" / "user.slice" / "app.scope" / "cpu.max", limit)
    assert available_cores() == cores


def test_the_quota_of_a_group_above_limits_too(machine):
    _write(machine / "own", "0::/user.slice/app.scope\n")
    _write(machine / "cgroup" / "user.slice" / "cpu.max", "200000 100000")
    _write(machine / "cgroup" / "user.slice" / "app.scope" / "cpu.max", "max 100000")
    assert available_cores() == 2


def test_in_a_container_the_root_of_what_is_mounted_counts(machine):
    _write(machine / "own", "0::/../outside\n")
    _write(machine / "cgroup" / "cpu.max", "100000 100000")
    assert available_cores() == 1


def test_version_1_quotas_limit(machine):
    _write(machine / "own", "4:memory:/x\n3:cpu,cpuacct:/docker/1\n")
    folder = machine / "cgroup" / "cpu,cpuacct" / "docker" / "1"
    _write(folder / "cpu.cfs_quota_us", "300000")
    _write(folder / "cpu.cfs_period_us", "100000")
    assert available_cores() == 3
    _write(folder / "cpu.cfs_quota_us", "-1")
    assert available_cores() == 4


def test_efficiency_cores_are_left_out(machine):
    _write(machine / "performance", "0-1,4-5\n")
    assert available_cores() == 2


@pytest.mark.parametrize(("value", "cores"), [("3", 3), ("64", 64)])
def test_the_variable_overrides(machine, monkeypatch, value, cores):
    monkeypatch.setenv(threads.THREADS_VARIABLE, value)
    assert available_cores() == cores


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_variable_that_is_no_number_of_threads_says_so(machine, monkeypatch, value):
    monkeypatch.setenv(threads.THREADS_VARIABLE, value)
    with pytest.raises(BadInputError, match=value):
        available_cores()

"""How many threads to compute with: the physical cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_TOPOLOGY = Path("/sys/devices/system/cpu")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Return the physical cores in this process's affinity, within its cgroup's quota.

    Two hardware threads of a core share its vector units, so more threads than cores only get
    in each other's way.
    """
    try:
        processors = sorted(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        processors = list(range(os.cpu_count() or 1))
    cores = {_core_of(processor) for processor in processors}
    return max(1, min(len(cores), _quota(len(cores))))


def _core_of(processor: int) -> str:
    """Name of the physical core; the processor's own number where Linux does not tell."""
    path = _TOPOLOGY / f"cpu{processor}" / "topology" / "thread_siblings_list"
    try:
        return path.read_text().strip()
    except OSError:
        return str(processor)


def _quota(default: int) -> int:
    """CPUs granted by cgroup v2 (``max`` or ``quota period``), rounded down but at least 1."""
    try:
        quota, period = _CGROUP_LIMIT.read_text().split()
        return default if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return default

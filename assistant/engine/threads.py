"""How many threads to compute with: the physical cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from assistant.errors import BadInputError

THREADS_VARIABLE = "FRONTDESK_THREADS"
_TOPOLOGY = Path("/sys/devices/system/cpu")
# Intel hybrid processors list their performance cores here.
_PERFORMANCE_CORES = Path("/sys/devices/cpu_core/cpus")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Return the physical cores in this process's affinity, within its cgroups' quotas.

    Two hardware threads of a core share its vector units, so more threads than cores only get
    in each other's way; efficiency cores would keep the performance cores waiting.
    ``FRONTDESK_THREADS`` overrides it.

    Raises:
        BadInputError: the variable is no number from 1.
    """
    override = os.environ.get(THREADS_VARIABLE)
    if override:
        if not override.isdecimal() or int(override) < 1:
            raise BadInputError(
                f"{THREADS_VARIABLE}={override} is no number of threads", "Give 1 or more"
            )
        return int(override)
    try:
        processors = os.sched_getaffinity(0)
    except AttributeError:  # macOS, Windows
        processors = set(range(os.cpu_count() or 1))
    processors = (processors & _processors(_read(_PERFORMANCE_CORES))) or processors
    cores = {_core_of(processor) for processor in processors}
    quota = _quota()
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def _core_of(processor: int) -> str:
    """Name of the physical core; the processor's own number where Linux does not tell."""
    siblings = _read(_TOPOLOGY / f"cpu{processor}" / "topology" / "thread_siblings_list")
    return siblings or str(processor)


def _processors(text: str) -> set[int]:
    """Read a list such as "0-3,8": the format of Linux's cpu lists."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found |= set(range(int(first), int(last or first) + 1))
    return found


def _quota() -> float | None:
    """Return the CPUs granted to this process; None where nothing limits it.

    A limit of any group above counts too. cgroup v2 has ``cpu.max`` ("QUOTA PERIOD" or "max"),
    v1 two files, https://docs.kernel.org/admin-guide/cgroup-v2.html.
    """
    quotas = []
    for line in _read(_OWN_CGROUP).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        group = root / path.strip("/")
        # in a container the path may be the host's: what is mounted is then the root itself
        groups = {group, *group.parents, root}
        for place in (g for g in groups if g.is_relative_to(root)):
            limit = _read(place / "cpu.max").split() or [
                _read(place / "cpu.cfs_quota_us"),
                _read(place / "cpu.cfs_period_us"),
            ]
            if len(limit) == 2 and limit[0].isdecimal() and limit[1].isdecimal():
                quotas.append(int(limit[0]) / max(1, int(limit[1])))
    return min(quotas, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

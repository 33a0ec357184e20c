"""Watching this process for network use, by Python's audit events and the system's own tables."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

_LOCAL_FAMILIES = {getattr(socket, "AF_UNIX", None)}
# https://docs.python.org/3/library/audit_events.html
_EVENTS = {
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
}
_seen: list[str] = []
_watching = False


def watch_sockets() -> None:
    """Begin to record network use; an audit hook cannot be removed again."""
    global _watching  # noqa: PLW0603 - the hook belongs to the process as well
    if not _watching:
        _watching = True
        sys.addaudithook(_record)


def network_use() -> list[str]:
    """Return what was recorded since ``watch_sockets``, and sockets that are open now."""
    return _seen + [f"open socket {inode}" for inode in _open_network_sockets()]


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.__new__":
        if arguments[1] not in _LOCAL_FAMILIES:
            _seen.append(f"{event} family {arguments[1]}")
    elif event in _EVENTS:
        first = arguments[0]
        if getattr(first, "family", None) not in _LOCAL_FAMILIES or first is None:
            _seen.append(event)


def _open_network_sockets() -> list[str]:
    """Inodes of this process's internet sockets, native libraries' among them (Linux only)."""
    own = set()
    try:
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{descriptor}")
            except OSError:
                continue
            if target.startswith("socket:["):
                own.add(target[8:-1])
    except OSError:
        return []
    inodes = set()
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        try:
            lines = Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        inodes |= {line.split()[9] for line in lines}
    return sorted(own & inodes)

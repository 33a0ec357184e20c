"""What goes into a row: text SQLite can hold, moments, and the process that writes."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

# An answer is flushed at least twice a second; a row untouched for this long is nobody's, even
# if the number of its process is in use again.
STALE = timedelta(minutes=10)
_UNSTORABLE = dict.fromkeys((0x00, 0x02, 0x03))  # NUL ends SQLite's text, STX and ETX mark hits


def storable(text: str) -> str:
    """Return text that SQLite and the search can hold; lone surrogates become "?"."""
    return text.translate(_UNSTORABLE).encode("utf-8", "replace").decode("utf-8")


def timestamp() -> str:
    """Return this moment, ISO 8601 in UTC; such strings sort by time."""
    return _iso(datetime.now(UTC))


def stale_before() -> str:
    """Return the moment before which an untouched answer is nobody's."""
    return _iso(datetime.now(UTC) - STALE)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def other_process_lives(process: int) -> bool:
    """Whether a process other than this one has that number (always False on Windows)."""
    # On Windows os.kill would end the process it asks about.
    if process <= 0 or process == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

"""What the programs that show the interface in the documentation have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from assistant.errors import AssistantError, ExitCode


def write_all(program: str, directory: Path, files: Callable[[], Iterable[Path]]) -> int:
    """Print the path of every file as it is written; return an exit code.

    Args:
        program: the name that an error on stderr begins with.
        directory: where the files go; it is made.
        files: writes them, one after the other.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in files():
            print(path, flush=True)
    except AssistantError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        print(f"{program}: {directory}: {error.strerror}", file=sys.stderr)
        return int(ExitCode.FAILED)
    return int(ExitCode.DONE)

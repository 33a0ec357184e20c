"""Writing to a terminal that may be gone."""

from __future__ import annotations

from typing import Any, TextIO

from textual.driver import Driver


class LosableFile:
    """A terminal's output that drops what it can no longer take."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write a text, or drop it."""
        try:
            self._file.write(text)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        """Send what was written, or drop it."""
        try:
            self._file.flush()
        except (OSError, ValueError):
            return

    def __getattr__(self, name: str) -> Any:
        """Everything else is the file's own."""
        return getattr(self._file, name)


def losable(driver: type[Driver]) -> type[Driver]:
    """Return a driver whose program can still leave after its terminal was closed.

    Textual writes in a thread. An error ends that thread, and once its queue is full, the program
    waits for it forever: with the database open, and deaf to every signal but SIGKILL.
    """

    class LosableDriver(driver):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            file = self.__dict__.get("_file")  # drivers without a terminal have none
            if file is not None:
                self.__dict__["_file"] = LosableFile(file)

    return LosableDriver

"""Progress for people, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``3:07``, ``1:02:03``."""
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """The progress of one piece of work; a context manager.

    Args:
        label: what is being done.
        interval: seconds between two lines where there is no terminal.
        silent: show nothing, as all processes but the first one do.
    """

    def __init__(
        self,
        label: str,
        stream: TextIO | None = None,
        interval: float = 10.0,
        silent: bool = False,
    ) -> None:
        self.label, self.interval, self.silent = label, interval, silent
        self.stream = stream or sys.stderr
        self._started = self._last = time.monotonic()
        self._first: float | None = None
        self._fraction = 0.0
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._started = self._last = time.monotonic()
        if self.stream.isatty() and not self.silent:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%", markup=False),
                TextColumn("{task.fields[text]}", markup=False),
                console=Console(file=self.stream),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=1.0, text="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def remaining(self) -> float | None:
        """Return the estimated seconds to go; None before there is anything to judge by."""
        done = self._fraction - (self._first or 0.0)
        if done <= 0:
            return None
        return (time.monotonic() - self._started) / done * (1.0 - self._fraction)

    def update(self, fraction: float, text: str = "") -> None:
        """Show that ``fraction`` of the work (0 to 1) is done, and a few words on it."""
        if self._first is None:
            self._first = fraction
        self._fraction = min(max(fraction, 0.0), 1.0)
        left = self.remaining()
        if left is not None:
            text = f"{text}  {duration(left)} left" if text else f"{duration(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._fraction, text=text)
        elif not self.silent and time.monotonic() - self._last >= self.interval:
            self._last = time.monotonic()
            print(f"{self.label} {self._fraction:4.0%}  {text}", file=self.stream, flush=True)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(line))
        elif not self.silent:
            print(line, file=self.stream, flush=True)

"""A program on a pseudo-terminal; keeps everything it wrote."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl


class Terminal:
    """Runs ``python -m MODULE ARGUMENTS`` on a terminal of a size.

    Attributes:
        written: every byte that the program wrote.
        process: its id.
    """

    def __init__(
        self,
        *arguments: str,
        module: str = "assistant",
        columns: int = 100,
        rows: int = 30,
        **environment: str,
    ) -> None:
        self.written = b""
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            # whoever runs the tests in the background makes them ignore it
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
            os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size; the program gets SIGWINCH."""
        ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text: bytes, seconds: float = 60) -> None:
        """Read until the program has written a text."""
        self.wait_until(lambda: text in self.written, seconds)

    def wait_until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Read until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.written[-2000:]
            self.read(0.1)

    def settle(self) -> None:
        """Read until the program has been silent for a second."""
        seen = -1
        while seen != len(self.written):
            seen = len(self.written)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                self.read(0.2)

    def read(self, seconds: float) -> bool:
        """Read what there is; False once the program has closed its side."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return True
        try:
            block = os.read(self.descriptor, 65536)
        except OSError:  # the program has closed its side
            return False
        self.written += block
        return bool(block)

    def send(self, keys: bytes) -> None:
        """Type; what does not fit into the terminal's buffer follows as it is read."""
        view = memoryview(keys)
        while view:
            readable, writable, _ = select.select([self.descriptor], [self.descriptor], [], 30)
            assert readable or writable, "the program reads nothing any more"
            if readable:
                self.read(0)
            if writable:
                view = view[os.write(self.descriptor, view[:1024]) :]

    def hang_up(self) -> None:
        """Close the terminal, as a window that is closed does."""
        os.kill(self.process, signal.SIGHUP)
        os.close(self.descriptor)

    def exit_code(self, seconds: float = 60) -> int:
        """Return the exit code of the program, which is killed if it does not end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                return os.waitstatus_to_exitcode(status)
            try:
                self.read(0.1)
            except (OSError, ValueError):
                time.sleep(0.1)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        raise AssertionError(f"the program did not end: {self.written[-2000:]!r}")

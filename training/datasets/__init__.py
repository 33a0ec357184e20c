"""Data written for this project, and how items of it (and of users' own) are read and split."""

from pathlib import Path

WRITTEN = Path(__file__).parent
"""The folder with our own JSON Lines files."""

DIALOGUE_FILES = (
    "acc",
    "ord",
    "bil",
    "dev",
    "app",
    "con",
    "gro",
    "gr2",
    "fol",
    "fo2",
    "hbd",
    "hbs",
    "hbo",
    "hb2",
    "hb3",
    "wri",
)
"""Stems of the dialogue files."""

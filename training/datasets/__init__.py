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
    "co2",
    "gro",
    "gr2",
    "gr3",
    "fol",
    "fo2",
    "fo3",
    "hbd",
    "hbs",
    "hbo",
    "hb2",
    "hb3",
    "hb4",
    "hb5",
    "wri",
    "wr2",
)
"""Stems of the dialogue files."""

MAIL_FILES = ("mail", "mail2")
"""Stems of the files with e-mail."""

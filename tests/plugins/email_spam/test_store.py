"""The plugin's database: private, migrated once, and clear about what is wrong with it."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assistant.plugin_api import StorageError
from plugins.email_spam.schema import STEPS
from plugins.email_spam.settings import Settings, load_settings, save_settings
from plugins.email_spam.store import open_store, store_exists


def path() -> Path:
    with open_store() as db:
        return Path(db.execute("PRAGMA database_list").fetchone()[2])


def test_its_owner_alone_can_read_it() -> None:
    assert path().stat().st_mode & 0o077 == 0
    assert path().parent.stat().st_mode & 0o077 == 0


def test_its_migrations_are_its_own_and_run_once_also_from_many_threads() -> None:
    def applied(_: int) -> list[str]:
        with open_store() as db:
            rows = db.query("SELECT migration_set, name FROM _sqlite_migrations")
            return sorted(f"{row['migration_set']} {row['name']}" for row in rows)

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(applied, range(16)):
            assert found == sorted(f"frontdesk.email_spam {step.__name__}" for step in STEPS)


def test_what_is_deleted_is_gone_from_the_file() -> None:
    with open_store() as db:
        db.execute("INSERT INTO sender_rule VALUES ('secret-name.example', 'allow', '')")
        db.execute("DELETE FROM sender_rule")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"secret-name" not in path().read_bytes()


def test_a_damaged_file_is_said_and_left_alone() -> None:
    file = path()
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match="damaged"):
        load_settings()
    assert file.read_bytes().startswith(b"no database")


def test_a_file_of_a_newer_version_is_refused() -> None:
    file = path()
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('frontdesk.email_spam', 'm999_from_the_future', '')"
        )
    with pytest.raises(StorageError, match="newer version"):
        load_settings()


def test_settings_come_back_and_asking_for_them_creates_nothing() -> None:
    assert load_settings() == Settings()
    assert not store_exists()
    own = Settings(threshold=0.75, unsure_from=0.25, keep_text=True)
    save_settings(own)
    assert load_settings() == own
    save_settings(Settings(unsure_from=0.5))
    assert load_settings() == Settings(unsure_from=0.5)

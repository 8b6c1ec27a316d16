"""The database: one SQLite file, in WAL mode, that survives a power cut at any moment."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strop.runtime.errors import StropError
from strop.service.folders import make_folder
from strop.service.store.migrations import MIGRATIONS

BUSY_SECONDS = 30.0  # how long a writer waits for another one


class NewerSchema(StropError):
    """The database was written by a newer strop: this one would not understand it."""


class Database:
    """The file at `path`, brought to the newest schema. Threads and processes share it; each thread has a connection.

    A transaction that has ended is on the disk (synchronous=FULL). Raises `NewerSchema`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        make_folder(path.parent)
        self._migrate()

    def read(self) -> sqlite3.Connection:
        """Return this thread's connection, for reading."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write: all of it, or nothing where an exception leaves the block."""
        connection = self.read()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # some errors, such as a full disk, have rolled back already
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            for _, connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        with self._lock:
            for thread, left in self._all:
                if not thread.is_alive():  # servers' pools let threads end: their connections would keep files open
                    left.close()
            self._all = [(thread, left) for thread, left in self._all if thread.is_alive()]
            self._all.append((threading.current_thread(), connection))
        return connection

    def _migrate(self) -> None:
        with self.transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise NewerSchema(
                    f"{self.path} has schema {version}, written by a newer strop; this one knows {len(MIGRATIONS)}: "
                    "install that strop again, or name another data folder"
                )
            for number, migration in enumerate(MIGRATIONS[version:], version + 1):
                migration(db)
                db.execute(f"PRAGMA user_version = {number}")

"""The schema, step by step. A step that has been released is never changed; the next one is appended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

TABLES = """
CREATE TABLE keys (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, created REAL NOT NULL,
  revoked REAL);
CREATE TABLE models (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created REAL NOT NULL, policy TEXT NOT NULL);
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
  started REAL, finished REAL, attempts INTEGER NOT NULL DEFAULT 0, spec TEXT NOT NULL, progress TEXT, result TEXT,
  error TEXT, cancel_requested INTEGER NOT NULL DEFAULT 0, key_id TEXT);
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE TABLE idempotency (
  key_id TEXT NOT NULL, idempotency_key TEXT NOT NULL, request_sha256 TEXT NOT NULL, job_id TEXT NOT NULL,
  created REAL NOT NULL, PRIMARY KEY (key_id, idempotency_key));
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL REFERENCES jobs (id), at REAL NOT NULL,
  type TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_by_job ON events (job_id, seq);
CREATE TABLE datasets (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, created REAL NOT NULL, format TEXT NOT NULL,
  samples INTEGER NOT NULL, quarantined INTEGER NOT NULL, shape TEXT NOT NULL, classes TEXT NOT NULL,
  bytes INTEGER NOT NULL, path TEXT NOT NULL);
CREATE TABLE quarantine (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, dataset_id TEXT, sample_id TEXT, source TEXT NOT NULL, reason TEXT NOT NULL,
  at REAL NOT NULL);
CREATE TABLE samples (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, model_id TEXT NOT NULL REFERENCES models (id),
  label INTEGER, image BLOB NOT NULL, shape TEXT NOT NULL, sha256 TEXT NOT NULL, created REAL NOT NULL,
  state TEXT NOT NULL, job_id TEXT REFERENCES jobs (id));
CREATE INDEX samples_by_model ON samples (model_id, state, seq);
CREATE TABLE versions (
  id TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models (id), number INTEGER NOT NULL, created REAL NOT NULL,
  parent_id TEXT REFERENCES versions (id), job_id TEXT REFERENCES jobs (id), sha256 TEXT NOT NULL,
  file_sha256 TEXT NOT NULL, path TEXT NOT NULL, manifest TEXT NOT NULL, UNIQUE (model_id, number));
CREATE TABLE aliases (
  model_id TEXT NOT NULL REFERENCES models (id), alias TEXT NOT NULL, version_id TEXT NOT NULL REFERENCES versions (id),
  updated REAL NOT NULL, PRIMARY KEY (model_id, alias));
CREATE TABLE deployments (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, model_id TEXT NOT NULL REFERENCES models (id), alias TEXT NOT NULL,
  from_version TEXT, to_version TEXT NOT NULL, action TEXT NOT NULL, reason TEXT, key_id TEXT, at REAL NOT NULL);
CREATE TRIGGER deployments_stay BEFORE UPDATE ON deployments BEGIN SELECT RAISE (ABORT, 'history is append-only'); END;
CREATE TRIGGER deployments_remain BEFORE DELETE ON deployments
  BEGIN SELECT RAISE (ABORT, 'history is append-only'); END;
CREATE TABLE worker (
  id INTEGER PRIMARY KEY CHECK (id = 1), pid INTEGER NOT NULL, started REAL NOT NULL, state TEXT NOT NULL, device TEXT,
  selftest TEXT, job_id TEXT, beat REAL NOT NULL)
"""


def m001_tables(db: sqlite3.Connection) -> None:
    """Everything that the first release keeps."""
    statement = ""
    for line in TABLES.strip().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    db.execute(statement)


def m002_samples_by_job(db: sqlite3.Connection) -> None:
    """Let a job's samples, and a data set's quarantine, be found without reading all there are."""
    db.execute("CREATE INDEX samples_by_job ON samples (job_id, seq)")
    db.execute("CREATE INDEX quarantine_by_dataset ON quarantine (dataset_id, seq)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (m001_tables, m002_samples_by_job)

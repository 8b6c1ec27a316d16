"""Keys: what they look like, how one is made and recognized, and when there must be one.

A key is `strop_ID_SECRET`. The secret has 256 random bits, so a plain digest is enough: nobody can try them all.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from collections.abc import Sequence
from typing import Literal, get_args

from strop.runtime.errors import InputError
from strop.service.ids import ALPHABET, new_id
from strop.service.settings import Settings
from strop.service.store import keys
from strop.service.store.database import Database
from strop.service.store.keys import Key

Scope = Literal["predict", "samples", "train", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ADMIN: Scope = "admin"  # implies all others
SECRET_BYTES = 32
NAME_LENGTH = 100
FORM = re.compile(rf"strop_([{ALPHABET}]{{22}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")


class KeyNeeded(InputError):
    """The service would be open to other machines, and there is no key."""


def make_key(db: sqlite3.Connection, name: str, scopes: Sequence[str]) -> tuple[Key, str]:
    """Record a new key; return it, and the text that clients send, which cannot be had again. Raises `InputError`."""
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        raise InputError(f"scopes are {list(scopes)}; allowed: one or more of {', '.join(SCOPES)}")
    if not 0 < len(name) <= NAME_LENGTH:
        raise InputError(f"the key's name has {len(name)} characters; allowed: 1 to {NAME_LENGTH}")
    id = new_id("key")
    token = f"strop_{id.partition('_')[2]}_{secrets.token_hex(SECRET_BYTES)}"
    return keys.create(db, id, name, _digest(token), [scope for scope in SCOPES if scope in scopes]), token


def recognize(db: sqlite3.Connection, token: str) -> Key | None:
    """Return the key that a client sent; None if it is not one, or not any more."""
    form = FORM.fullmatch(token)
    key = None if form is None else keys.find(db, f"key_{form[1]}")
    known = "" if key is None else key.sha256
    same = hmac.compare_digest(_digest(token), known)  # takes as long whatever the secret is
    return key if same and key is not None and key.revoked is None else None


def demand_key_beyond_loopback(settings: Settings, database: Database) -> None:
    """Raise `KeyNeeded` if other machines could reach the service and nobody has a key."""
    if not settings.loopback and not keys.any_good(database.read()):
        raise KeyNeeded(
            f"STROP_HOST is {settings.host}: other machines could reach the service, and there is no key; make one "
            f"(strop keys create, with STROP_DATA={settings.data}), or listen on 127.0.0.1"
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()

"""Names for what is stored: sortable by age, safe in a path and in a URL, and never chosen by a client."""

from __future__ import annotations

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
TIME_DIGITS, RANDOM_DIGITS = 10, 12
PATTERN = rf"[a-z]+_[{ALPHABET}]{{{TIME_DIGITS + RANDOM_DIGITS}}}"


def new_id(kind: str) -> str:
    """Return a new id such as "job_01hq...": milliseconds since 1970, then 60 random bits."""
    return f"{kind}_{_digits(time.time_ns() // 1_000_000, TIME_DIGITS)}{_digits(secrets.randbits(60), RANDOM_DIGITS)}"


def _digits(value: int, count: int) -> str:
    return "".join(ALPHABET[value >> 5 * place & 31] for place in reversed(range(count)))

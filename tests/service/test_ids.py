"""Ids sort by age, and are safe wherever they are written."""

from __future__ import annotations

import re
import time

from strop.service.ids import PATTERN, new_id


def test_ids_differ_and_sort_by_age() -> None:
    """Protects lists and queues, whose order is that of ids."""
    ids = []
    for _ in range(20):
        ids.append(new_id("job"))
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert len({new_id("job") for _ in range(10_000)}) == 10_000


def test_an_id_is_safe_in_paths_and_urls() -> None:
    """Protects the disk: nothing of an id can leave a folder."""
    for kind in ("job", "dataset"):
        assert re.fullmatch(PATTERN, new_id(kind))
    for wrong in ("job_", "../job_0000000000000000000000", "job_000000000000000000000/", "JOB_0000000000000000000000"):
        assert not re.fullmatch(PATTERN, wrong)

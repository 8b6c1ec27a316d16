"""The files of the dashboard: which there are, how they are sent, and what they must not contain."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from strop.host.data.load import NAMED_DATASETS
from strop.host.data.shifts import SHIFTS
from strop.service.job_states import TERMINAL, TRANSITIONS
from strop.service.routes.dashboard import FOLDER, MEDIA_TYPES, static_files

BUDGET = 100 * 1000  # bytes of everything, gzipped
VENDORED = {  # sha256 of the files in dist/ of npm's uplot 1.6.32
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
OWN = sorted(path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES and path.name not in VENDORED)


def words_of(file: str, name: str) -> set[str]:
    """Return the strings in a list of that name in one of the modules."""
    found = re.search(rf"{name} = (?:new Set\()?\[(.*?)\]", (FOLDER / file).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{file} has no {name}"
    return set(re.findall(r'"([^"]+)"', found[1]))


def test_all_of_it_stays_small() -> None:
    """Protects the budget: a board sends all of it, and a browser on its other side wants it at once."""
    assert sum(len(gzip.compress(path.read_bytes())) for path in FOLDER.iterdir()) < BUDGET


def test_page_is_sent_with_a_strict_policy(client: TestClient) -> None:
    """Protects the page: nothing foreign, no inline script, no markup out of strings, not in a frame, no stale copy."""
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} <= set(policy)
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("name", sorted(static_files()))
def test_each_file_is_sent_as_what_it_is_and_once(client: TestClient, name: str) -> None:
    """Protects media types (nosniff is strict) and the ETag: a browser that has a file is not sent it again."""
    answer = client.get(f"/dashboard/{name}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == MEDIA_TYPES[(FOLDER / name).suffix]
    tag = answer.headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = client.get(f"/dashboard/{name}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(f"/dashboard/{name}", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", ["UPLOT_LICENSE", "%2e%2e", "%2e%2e%2fapp.py", "..%2fapp.py", "none.js"])
def test_nothing_else_is_sent(client: TestClient, name: str) -> None:
    """Protects the disk: what a client names is looked up in a closed list, and never opened."""
    answer = client.get(f"/dashboard/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_every_file_is_used_and_there() -> None:
    """Protects against dead files, and against an import that only a browser would miss."""
    used = {"index.html"}
    for path in OWN:
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r'(?:src|href)="dashboard/([^"]+)"', text)) | set(re.findall(r'from "\./([^"]+)"', text))
    assert used == set(static_files())


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_file_names_another_place_or_makes_markup_of_text(path: Path) -> None:
    """Protects boxes without a network, and the page from what the API says."""
    text = path.read_text(encoding="utf-8")
    places = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", text)) - {
        "http://www.w3.org"
    }  # SVG's name, not an address
    assert places == set()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"<script>|\son\w+=|\sstyle=", text), "the policy forbids what is inline"


def test_vendored_files_are_what_their_project_ships() -> None:
    """Protects the vendored library: changed by nobody, and with its licence beside it."""
    assert {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in VENDORED} == VENDORED
    assert "MIT License" in (FOLDER / "UPLOT_LICENSE").read_text(encoding="utf-8")


def test_form_offers_what_the_service_knows() -> None:
    """Protects the form: the page has its own list of built-in data and of shifts."""
    assert words_of("start.js", "BUILT_IN") == set(NAMED_DATASETS)
    assert words_of("start.js", "SHIFTS") == set(SHIFTS)


def test_page_listens_to_every_event() -> None:
    """Protects the live panel: a browser drops events of a type that nobody listens to."""
    assert words_of("follow.js", "LAST") == set(TERMINAL)
    assert set(TRANSITIONS.values()) | {"queued", "resumed", "progress", "epoch", "gate"} <= words_of(
        "follow.js", "TYPES"
    )

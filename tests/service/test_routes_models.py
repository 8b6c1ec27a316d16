"""Models over HTTP: what is listed, imported, downloaded, promoted and rolled back, and what is refused."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model_files import change_a_bit, tiny_file
from strop.host import Model
from strop.host.pretrained import pretrained_path
from strop.runtime.contract import C
from strop.service.app import create_app
from strop.service.predictor import Predictor
from strop.service.settings import Settings
from strop.service.store import jobs
from strop.service.store.database import Database
from strop.service.store.models import Version

LENET = "lenet5-fashion-mnist"
OCTETS = {"Content-Type": "application/octet-stream"}


def upload(client: TestClient, name: str, file: Path) -> Any:
    """Import a checkpoint."""
    return client.post("/models", params={"name": name}, content=file.read_bytes(), headers=OCTETS)


@pytest.fixture
def tiny(client: TestClient, tmp_path: Path) -> str:
    """The name of a model with three versions, the first in production."""
    for seed in range(3):
        assert upload(client, "tiny", tiny_file(tmp_path / str(seed), seed)).status_code == 201
    return "tiny"


def promote(client: TestClient, number: int, alias: str = "production", **words: Any) -> Any:
    """Let an alias of the model "tiny" point at a version."""
    return client.put(f"/models/tiny/aliases/{alias}", json={"version": number, **words})


def in_production(client: TestClient) -> int:
    """Return the number of the version of "tiny" that is in production."""
    number: int = client.get("/models/tiny").json()["aliases"]["production"]
    return number


def test_models_are_listed(client: TestClient, tiny: str) -> None:
    """Protects the list: names, what aliases point at, how many versions, the policy; in pages, newest first."""
    everything = client.get("/models").json()
    assert [model["name"] for model in everything["data"]] == [tiny, LENET]
    assert everything["next"] is None
    listed = everything["data"][0]
    assert (listed["aliases"], listed["versions"], listed["policy"]) == ({"production": 1}, 3, {"mode": "buffer"})
    first = client.get("/models", params={"limit": 1}).json()
    second = client.get("/models", params={"limit": 1, "after": first["next"]}).json()
    assert [*first["data"], *second["data"]] == everything["data"]


def test_a_model_shows_its_versions(client: TestClient, tiny: str) -> None:
    """Protects lineage of imports: number, digests, source, network and classes of each; in pages, newest first."""
    model = client.get(f"/models/{tiny}").json()
    assert [version["number"] for version in model["versions"]] == [3, 2, 1]
    first = model["versions"][-1]
    assert (first["parent"], first["job"], first["aliases"]) == (None, None, ["production"])
    assert (first["network"], first["shape"], first["classes"]) == ("tiny", [1, 8, 8], ["left", "right", "both"])
    assert first["source"].startswith("imported")
    page = client.get(f"/models/{tiny}", params={"limit": 2}).json()
    rest = client.get(f"/models/{tiny}", params={"limit": 2, "after": page["next"]}).json()
    assert [v["number"] for v in (*page["versions"], *rest["versions"])] == [3, 2, 1]
    detail = client.get(f"/models/{tiny}/versions/1").json()
    assert detail["manifest"]["numerics_version"] == C.NUMERICS_VERSION
    assert {name: detail[name] for name in first} == first


@pytest.mark.parametrize(
    "path", ["/models/huge", "/models/huge/versions/1", f"/models/{LENET}/versions/9", "/models/huge/history"]
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    """Protects who mistyped a name: 404 that says which."""
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_weights_come_as_they_went_in(client: TestClient, tmp_path: Path) -> None:
    """Protects downloads: the file byte for byte, its digest as ETag, and nothing sent to who has it already."""
    path = f"/models/{LENET}/versions/1/weights"
    answer = client.get(path)
    assert answer.content == pretrained_path().read_bytes()
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    (tmp_path / "weights").write_bytes(answer.content)
    with Model.load(tmp_path / "weights", device="emulator", threads=1) as model:
        assert model.digest() == client.get(f"/models/{LENET}/versions/1").json()["sha256"]


def test_weights_that_are_gone(client: TestClient, settings: Settings) -> None:
    """Protects the client: a lost file is told in words, not as a broken connection."""
    next(settings.folder("versions").iterdir()).unlink()
    answer = client.get(f"/models/{LENET}/versions/1/weights")
    assert (answer.status_code, answer.json()["code"]) == (500, "version_damaged")


def test_imports(client: TestClient, tmp_path: Path) -> None:
    """Protects imports: 201 and where the version is; the same file again is no second version."""
    file = tiny_file(tmp_path / "one")
    made = upload(client, "tiny", file)
    assert (made.status_code, made.headers["location"]) == (201, "/models/tiny/versions/1")
    again = upload(client, "tiny", file)
    assert (again.status_code, again.headers["location"]) == (200, "/models/tiny/versions/1")
    assert made.json() == again.json() == client.get("/models/tiny/versions/1").json()
    assert made.json()["file_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("body", [b"", b"\x80\x04}q\x00.", b"PK\x03\x04" + bytes(100), bytes(10_000)])
def test_files_that_are_no_checkpoints(client: TestClient, settings: Settings, body: bytes) -> None:
    """Protects from foreign files: a problem, no version, nothing left on the disk."""
    before = sorted(settings.folder("versions").iterdir())
    answer = client.post("/models", params={"name": "tiny"}, content=body, headers=OCTETS)
    assert (answer.status_code, answer.json()["code"]) == (422, "model_invalid")
    assert client.get("/models/tiny").status_code == 404
    assert sorted(settings.folder("versions").iterdir()) == before


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a" * 64, "a@1", "ä"])
def test_names_that_no_model_has(client: TestClient, tmp_path: Path, name: str) -> None:
    """Protects references and logs: names of a closed form, refused before a byte of the body is read."""
    answer = upload(client, name, tiny_file(tmp_path / "one"))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    """Protects the disk: the limit holds for bodies that say their size and for those that do not."""
    settings = Settings(data=tmp_path / "data", max_upload_mbytes=1)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        pieces = (bytes(1 << 18) for _ in range(5))
        for body in (bytes(5 << 18), pieces):
            answer = client.post("/models", params={"name": "big"}, content=body, headers=OCTETS)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert len(list(settings.folder("versions").iterdir())) == 1


def test_policies(client: TestClient) -> None:
    """Protects what POST /samples does: set as a whole, kept, and shown."""
    every = {"mode": "learn_every", "samples": 16, "steps": 20}
    for policy in (every, {"mode": "buffer"}):
        assert client.put(f"/models/{LENET}/policy", json=policy).json() == policy
        assert client.get(f"/models/{LENET}").json()["policy"] == policy
    assert client.put("/models/huge/policy", json=every).status_code == 404


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"mode": "sometimes"},
        {"mode": "buffer", "samples": 4},
        {"mode": "learn_every", "samples": 1, "steps": 5},
        {"mode": "learn_every", "samples": 10_001, "steps": 5},
        {"mode": "learn_every", "samples": 10, "steps": 0},
        {"mode": "learn_every", "samples": 10},
    ],
)
def test_policies_that_cannot_be(client: TestClient, policy: dict[str, Any]) -> None:
    """Protects from a policy that would fail later, sample by sample."""
    answer = client.put(f"/models/{LENET}/policy", json=policy)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert client.get(f"/models/{LENET}").json()["policy"] == {"mode": "buffer"}


def test_promotion_and_rollback(client: TestClient, tiny: str) -> None:
    """Protects one-call rollback: each goes one further back, none goes forward, and at the end it says so."""
    for number in (2, 3):
        answer = promote(client, number, reason=f"try {number}").json()
        assert answer == {
            "model": tiny,
            "alias": "production",
            "version": number,
            "previous": number - 1,
            "changed": True,
        }
    for number in (2, 1):
        answer = client.post(f"/models/{tiny}/rollback", json={"reason": "worse"})
        assert (answer.status_code, answer.json()["version"], in_production(client)) == (200, number, number)
    refused = client.post(f"/models/{tiny}/rollback", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")
    assert in_production(client) == 1
    history = client.get(f"/models/{tiny}/history").json()["data"]
    assert [(h["action"], h["previous"], h["version"], h["reason"]) for h in history[:-1]] == [
        ("rollback", 2, 1, "worse"),
        ("rollback", 3, 2, "worse"),
        ("promote", 2, 3, "try 3"),
        ("promote", 1, 2, "try 2"),
    ]
    assert (history[-1]["action"], history[-1]["previous"], history[-1]["version"]) == ("import", None, 1)
    assert all(h["alias"] == "production" and h["key"] == "local" for h in history)
    page = client.get(f"/models/{tiny}/history", params={"limit": 3}).json()
    rest = client.get(f"/models/{tiny}/history", params={"after": page["next"]}).json()
    assert [*page["data"], *rest["data"]] == history


def test_a_repeated_promotion_is_no_second_one(client: TestClient, tiny: str) -> None:
    """Protects from clients that repeat themselves: nothing is recorded, and rollback leads to what was before."""
    promote(client, 2)
    again = promote(client, 2).json()
    assert (again["changed"], again["previous"], again["version"]) == (False, 2, 2)
    assert len(client.get(f"/models/{tiny}/history").json()["data"]) == 2
    assert client.post(f"/models/{tiny}/rollback", json={}).json()["version"] == 1


def test_a_repeated_rollback_can_be_told_from_a_second_one(client: TestClient, tiny: str) -> None:
    """Protects from a rollback that is sent twice: who says where the alias is goes back once."""
    promote(client, 2)
    promote(client, 3)
    assert client.post(f"/models/{tiny}/rollback", json={"current": 3}).json()["version"] == 2
    again = client.post(f"/models/{tiny}/rollback", json={"current": 3})
    assert (again.status_code, again.json()["code"]) == (409, "state_conflict")
    assert in_production(client) == 2


def test_a_rollback_leads_to_what_was_tried(client: TestClient, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects production from two rollbacks at once: the later one is refused, and leads nowhere untried."""
    promote(client, 2)
    promote(client, 3)
    try_out = Predictor.try_out

    def overtaken(self: Predictor, version: Version) -> None:
        monkeypatch.setattr(Predictor, "try_out", try_out)
        assert client.post(f"/models/{tiny}/rollback", json={}).status_code == 200

    monkeypatch.setattr(Predictor, "try_out", overtaken)
    answer = client.post(f"/models/{tiny}/rollback", json={})
    assert (answer.status_code, answer.json()["code"], in_production(client)) == (409, "state_conflict", 2)


def test_other_aliases(client: TestClient, tiny: str) -> None:
    """Protects aliases of one's own: made by pointing them, with a past of their own."""
    assert promote(client, 3, "candidate").json()["previous"] is None
    assert in_production(client) == 1
    assert client.post(f"/models/{tiny}/rollback", json={"alias": "candidate"}).status_code == 409
    assert client.post(f"/models/{tiny}/rollback", json={"alias": "unknown"}).status_code == 404
    assert client.put(f"/models/{tiny}/aliases/UPPER", json={"version": 1}).status_code == 422
    assert promote(client, 9).status_code == 404
    assert client.get(f"/models/{tiny}/versions/3").json()["aliases"] == ["candidate"]


def test_what_cannot_serve_is_never_shown(client: TestClient, settings: Settings, tiny: str, tmp_path: Path) -> None:
    """Protects production: a version with a damaged file, or never trained, is refused before the alias moves."""
    upload(client, tiny, tiny_file(tmp_path / "untrained", seed=5, steps=0))
    untrained = promote(client, 4)
    assert (untrained.status_code, untrained.json()["code"]) == (409, "model_untrained")
    id = client.get(f"/models/{tiny}/versions/2").json()["id"]
    change_a_bit(settings.data / "versions" / f"{id}.safetensors", "fc1.weight")
    damaged = promote(client, 2)
    assert (damaged.status_code, damaged.json()["code"]) == (500, "version_damaged")
    assert in_production(client) == 1
    assert len(client.get(f"/models/{tiny}/history").json()["data"]) == 1


def test_a_rollback_to_a_damaged_version_is_refused(client: TestClient, settings: Settings, tiny: str) -> None:
    """Protects production once more: what it would go back to is asked first, and the alias stays where it works."""
    promote(client, 2)
    id = client.get(f"/models/{tiny}/versions/1").json()["id"]
    (settings.data / "versions" / f"{id}.safetensors").write_bytes(b"")
    fresh = TestClient(create_app(settings), raise_server_exceptions=False)  # which holds no version yet
    answer = fresh.post(f"/models/{tiny}/rollback", json={})
    assert (answer.status_code, answer.json()["code"]) == (500, "version_damaged")
    assert in_production(client) == 2


def test_verification_waits_in_the_queue(client: TestClient, settings: Settings) -> None:
    """Protects the queue's limit, and that a verification is a job like any other."""
    answer = client.post(f"/models/{LENET}/versions/1/verify")
    assert (answer.status_code, answer.json()["kind"], answer.json()["state"]) == (202, "verify", "queued")
    database = Database(settings.data / "strop.db")
    with database.transaction() as db:
        for _ in range(settings.max_queue - 1):
            jobs.create(db, "verify", {})
    full = client.post(f"/models/{LENET}/versions/1/verify")
    assert (full.status_code, full.json()["code"]) == (429, "queue_full")
    assert client.post(f"/models/{LENET}/versions/2/verify").status_code == 404


def test_history_cannot_be_changed_behind_the_service(client: TestClient, settings: Settings) -> None:
    """Protects the record: whoever opens the file with SQLite's own tools is refused, too."""
    with sqlite3.connect(settings.data / "strop.db") as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute("DELETE FROM deployments")

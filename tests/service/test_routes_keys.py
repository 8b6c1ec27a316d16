"""Keys over HTTP: made, listed, revoked, and shown once."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

ADMIN = {"name": "owner", "scopes": ["admin"]}


@pytest.fixture
def admin(client: TestClient) -> dict[str, str]:
    """The headers of the first key."""
    answer = client.post("/keys", json=ADMIN)
    assert answer.status_code == 201
    return {"Authorization": f"Bearer {answer.json()['key']}"}


def test_a_key_is_shown_once(client: TestClient, admin: dict[str, str]) -> None:
    """Protects keys: the answer to its making has it, and is kept by no cache; nothing later has it."""
    made = client.post("/keys", json={"name": "line 3", "scopes": ["samples", "predict"]}, headers=admin)
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert key["scopes"] == ["predict", "samples"]
    listed = client.get("/keys", headers=admin)
    assert [each["name"] for each in listed.json()["data"]] == ["line 3", "owner"]
    assert listed.json()["data"][0] == {name: value for name, value in key.items() if name != "key"}
    assert key["key"] not in listed.text
    assert "sha256" not in listed.text
    assert client.get("/device", headers={"Authorization": f"Bearer {key['key']}"}).status_code == 200


def test_a_revoked_key_is_refused_from_the_next_request_on(client: TestClient, admin: dict[str, str]) -> None:
    """Protects against a leaked key; the list still tells of it, and revoking again changes nothing."""
    key = client.post("/keys", json={"name": "a", "scopes": ["predict"]}, headers=admin).json()
    leaked = {"Authorization": f"Bearer {key['key']}"}
    assert client.get("/device", headers=leaked).status_code == 200
    revoked = client.delete(f"/keys/{key['id']}", headers=admin).json()
    assert revoked["revoked"] is not None
    assert client.get("/device", headers=leaked).json()["code"] == "key_invalid"
    assert client.delete(f"/keys/{key['id']}", headers=admin).json() == revoked
    assert revoked in client.get("/keys", headers=admin).json()["data"]


def test_the_first_key_must_be_able_to_make_the_second(client: TestClient) -> None:
    """Protects against locking oneself out: with a key that may only predict, nobody could make another."""
    refused = client.post("/keys", json={"name": "a", "scopes": ["predict"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "unacceptable")
    assert client.get("/keys").json() == {"data": [], "next": None}


def test_a_key_cannot_revoke_itself(client: TestClient, admin: dict[str, str]) -> None:
    """Protects the last administrator."""
    (own,) = client.get("/keys", headers=admin).json()["data"]
    refused = client.delete(f"/keys/{own['id']}", headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "key_in_use")
    assert client.get("/keys", headers=admin).status_code == 200


def test_unknown_keys_are_not_found(client: TestClient, admin: dict[str, str]) -> None:
    """Protects scripts from believing that they revoked something."""
    assert client.delete(f"/keys/key_{'0' * 22}", headers=admin).json()["code"] == "not_found"
    assert client.delete("/keys/nonsense", headers=admin).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a"},
        {"name": "", "scopes": ["predict"]},
        {"name": "n" * 101, "scopes": ["predict"]},
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": ["root"]},
        {"name": "a", "scopes": ["predict"], "expires": 1},
    ],
)
def test_what_is_no_key_request_is_refused(client: TestClient, admin: dict[str, str], body: dict[str, Any]) -> None:
    """Protects against keys of no use, and wishes that are silently not granted."""
    assert client.post("/keys", json=body, headers=admin).status_code == 422


def test_pages_of_keys(client: TestClient, admin: dict[str, str]) -> None:
    """Protects long lists: each key once, newest first."""
    for number in range(4):
        client.post("/keys", json={"name": str(number), "scopes": ["predict"]}, headers=admin)
    names, after = [], ""
    while True:
        page = client.get(f"/keys?limit=2{after}", headers=admin).json()
        names += [each["name"] for each in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert names == ["3", "2", "1", "0", "owner"]

"""The Host header: what keeps a foreign web page from reaching this machine through a name of its own."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from strop.service.app import create_app
from strop.service.security.keys import make_key
from strop.service.settings import Settings
from strop.service.store.database import Database


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1:1", "127.0.0.1", "[::1]:8080", "[::1]", "LOCALHOST:80", "localhost:"],
)
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    """Protects every way to write loopback, on any port."""
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8080",
        "localhost:8080:evil",
        "localhost@evil.example",
        "",
        "::1",
        "0.0.0.0",
        "192.168.1.2:8080",
    ],
)
def test_other_names_are_refused_on_loopback(client: TestClient, host: str) -> None:
    """Protects against DNS rebinding, on every route, open ones too, before anything is done."""
    for path in ("/healthz", "/jobs", "/keys", "/"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "host_unknown"), path


def test_names_of_a_proxy_can_be_allowed(settings: Settings) -> None:
    """Protects the usual way to add TLS: a proxy on the same machine that passes its own name on."""
    behind = Settings(data=settings.data, proxy_hosts="box.example, Other.Example")
    with TestClient(create_app(behind)) as client:
        assert client.get("/healthz", headers={"Host": "box.example:443"}).status_code == 200
        assert client.get("/healthz", headers={"Host": "other.example"}).status_code == 200
        assert client.get("/healthz", headers={"Host": "third.example"}).status_code == 421


def test_other_addresses_of_loopback_are_own_names(settings: Settings) -> None:
    """Protects a service that listens on 127.0.0.2."""
    with TestClient(create_app(Settings(data=settings.data, host="127.0.0.2"))) as client:
        assert client.get("/healthz", headers={"Host": "127.0.0.2:8080"}).status_code == 200


def test_on_a_network_any_name_will_do(settings: Settings) -> None:
    """Protects a box on a LAN, whose names nobody lists: there the key protects."""
    with Database(settings.data / "strop.db").transaction() as db:
        make_key(db, "a", ["admin"])
    with TestClient(create_app(Settings(data=settings.data, host="0.0.0.0"))) as client:
        assert client.get("/healthz", headers={"Host": "board.local"}).status_code == 200

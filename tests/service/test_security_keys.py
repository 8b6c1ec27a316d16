"""Keys and scopes: who gets in, who does not, and what is kept of a key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from strop.runtime.errors import InputError
from strop.service.app import ROUTERS, create_app
from strop.service.security.callers import token_of
from strop.service.security.keys import FORM, SCOPES, KeyNeeded, make_key, recognize
from strop.service.security.scopes import require
from strop.service.settings import Settings
from strop.service.store import keys
from strop.service.store.database import Database

# A route that asks for no key, on purpose.
OPEN = {"/healthz", "/readyz"}


@pytest.fixture
def database(client: TestClient) -> Database:
    """The database behind `client`."""
    return database_of(client)


@pytest.fixture
def lan(settings: Settings) -> Iterator[TestClient]:
    """A client of a service that other machines reach, with one admin key that the client does not send."""
    database = Database(settings.data / "strop.db")
    with database.transaction() as db:
        make_key(db, "owner", ["admin"])
    open_to_all = Settings(data=settings.data, device="emulator", threads=1, host="0.0.0.0")
    with TestClient(create_app(open_to_all), raise_server_exceptions=False) as opened:
        yield opened


def database_of(client: TestClient) -> Database:
    """Return the database behind a client."""
    app = client.app
    assert isinstance(app, FastAPI)
    found: Database = app.state.service.database
    return found


def key_with(client: TestClient, *scopes: str) -> dict[str, str]:
    """Make a key; return the headers that send it."""
    with database_of(client).transaction() as db:
        _, token = make_key(db, "test", scopes)
    return {"Authorization": f"Bearer {token}"}


def test_a_key_is_long_random_and_kept_as_a_digest_only(database: Database) -> None:
    """Protects keys in a stolen database: 256 random bits, of which only SHA-256 is anywhere in the file."""
    with database.transaction() as db:
        made = [make_key(db, "a", ["predict"]) for _ in range(20)]
    secrets = {token.rpartition("_")[2] for _, token in made}
    assert len(secrets) == 20
    for key, token in made:
        assert FORM.fullmatch(token)
        assert len(bytes.fromhex(token.rpartition("_")[2])) == 32
        assert key.sha256 == hashlib.sha256(token.encode()).hexdigest()
    database.read().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stored = database.path.read_bytes()
    assert made[0][0].sha256.encode() in stored
    assert not any(secret.encode() in stored for secret in secrets)


def test_only_the_key_itself_is_recognized(database: Database) -> None:
    """Protects the door: one wrong character, another key's secret, a revoked key, or rubbish do not open it."""
    with database.transaction() as db:
        key, token = make_key(db, "a", ["predict"])
        _, other = make_key(db, "b", ["predict"])
    db = database.read()
    assert recognize(db, token) == key
    changed = token[:-1] + ("0" if token[-1] != "0" else "1")
    mixed = token.rpartition("_")[0] + "_" + other.rpartition("_")[2]
    for wrong in (changed, mixed, token.upper(), token + "0", token[:-1], "", "strop_", key.sha256, "\ud800", "é"):
        assert recognize(db, wrong) is None, wrong
    with database.transaction() as db:
        keys.revoke(db, key.id)
    assert recognize(database.read(), token) is None
    assert recognize(database.read(), other) is not None


def test_scopes_of_a_key_are_checked_when_it_is_made(database: Database) -> None:
    """Protects against a key that may do nothing, or something that no route knows."""
    with database.transaction() as db:
        for scopes in ([], ["predict", "everything"]):
            with pytest.raises(InputError, match="allowed: one or more of predict, samples, train, admin"):
                make_key(db, "a", scopes)
        for name in ("", "n" * 101):
            with pytest.raises(InputError, match="1 to 100"):
                make_key(db, name, ["predict"])
        assert make_key(db, "a", ["train", "predict", "train"])[0].scopes == ("predict", "train")


def test_loopback_without_keys_is_open_and_closes_with_the_first(client: TestClient) -> None:
    """Protects both promises: nothing to set up at first, and no open route once somebody made a key."""
    assert client.get("/jobs").status_code == 200
    headers = key_with(client, "predict")
    refused = client.get("/jobs")
    assert (refused.status_code, refused.json()["code"]) == (401, "key_missing")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert client.get("/device", headers=headers).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_revoking_the_last_key_does_not_open_the_door(client: TestClient) -> None:
    """Protects against a lock that falls open: who revokes a leaked key wants nobody in."""
    key_with(client, "admin")
    database = database_of(client)
    with database.transaction() as db:
        keys.revoke(db, keys.page(db, None, 1)[0].id)
    assert client.get("/jobs").json()["code"] == "key_missing"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key_missing"),
        ("Basic dXNlcjpwYXNz", "key_missing"),
        ("Bearer", "key_invalid"),
        ("Bearer ", "key_invalid"),
        ("Bearer strop_" + "0" * 22 + "_" + "0" * 64, "key_invalid"),
    ],
)
def test_what_is_no_key_is_refused(lan: TestClient, header: str | None, code: str) -> None:
    """Protects every way to come without a good key, with a challenge that clients understand."""
    answer = lan.get("/jobs", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_scope_opens_its_routes_and_admin_all(lan: TestClient) -> None:
    """Protects the meaning of scopes on three routes with different ones."""
    wanted = {"/device": "predict", "/jobs": "train", "/keys": "admin"}
    for scope in SCOPES:
        headers = key_with(lan, scope)
        for path, needs in wanted.items():
            answer = lan.get(path, headers=headers)
            if scope in (needs, "admin"):
                assert answer.status_code == 200, (scope, path)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), (scope, path)
                assert answer.json()["needs"] == needs


def test_every_route_has_a_scope() -> None:
    """Protects against a new route that nobody guards: probes apart, each must ask for one."""
    scopes = {require(scope) for scope in SCOPES}
    unguarded = set()
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            asks = {dependency.call for dependency in route.dependant.dependencies}
            if route.include_in_schema and not asks & scopes:
                unguarded.add(route.path)
    assert unguarded == OPEN


def test_openapi_tells_where_a_key_belongs(client: TestClient) -> None:
    """Protects generated clients: guarded routes name the scheme and the refusals, open ones do not."""
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == (path not in OPEN), path
            assert ({"401", "403"} <= set(operation["responses"])) == (path not in OPEN), path


def test_a_key_in_the_query_counts_for_event_streams_alone(lan: TestClient) -> None:
    """Protects keys from proxies' logs: a browser's EventSource has no other way, everything else has."""
    token = key_with(lan, "train")["Authorization"].removeprefix("Bearer ")
    events = "/jobs/job_01000000000000000000000/events"
    assert lan.get(f"{events}?key={token}").status_code in (404, 422)  # past the door: there is no such job
    assert lan.get(f"{events}?key=wrong").json()["code"] == "key_invalid"
    for method, path in (("GET", "/jobs"), ("GET", "/jobs/job_1"), ("GET", "/device"), ("POST", "/finetune")):
        assert lan.request(method, f"{path}?key={token}").json()["code"] == "key_missing", (method, path)


def test_only_a_get_has_its_key_in_the_query() -> None:
    """Protects a route that may come under the same path: what changes something needs the header."""
    scope = {"method": "GET", "path": "/jobs/job_1/events", "query_string": b"key=a&key=b", "headers": []}
    assert token_of(scope) == "a"
    assert token_of({**scope, "method": "POST"}) is None
    assert token_of({**scope, "headers": [(b"authorization", b"Bearer c")]}) == "c"


def test_other_machines_are_not_let_in_without_a_key(settings: Settings) -> None:
    """Protects the box on a network: it does not even start, and says how to make a key."""
    exposed = Settings(data=settings.data, host="0.0.0.0")
    with pytest.raises(KeyNeeded, match=re.escape("strop keys create")) as caught:
        create_app(exposed)
    assert "0.0.0.0" in str(caught.value)
    assert str(settings.data) in str(caught.value)
    database = Database(settings.data / "strop.db")
    with database.transaction() as db:
        key, _ = make_key(db, "a", ["predict"])
    create_app(exposed)
    with database.transaction() as db:
        keys.revoke(db, key.id)
    with pytest.raises(KeyNeeded):
        create_app(exposed)


def test_pages_from_elsewhere_are_kept_out_where_no_key_is(client: TestClient) -> None:
    """Protects a laptop's browser: any web page can send a POST to localhost, but cannot hide where it is from."""
    body = json.dumps({"name": "mine", "scopes": ["admin"]})
    for origin in ("http://evil.example", "null", "http://localhost:8888", "https://testserver.evil.example"):
        answer = client.post("/keys", content=body, headers={"Origin": origin, "Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_unknown"), origin
    own = {"Origin": "http://testserver", "Content-Type": "application/json"}
    assert client.post("/keys", content=body, headers=own).status_code == 201


def test_a_page_with_a_key_may_come_from_anywhere(lan: TestClient) -> None:
    """Protects dashboards behind a proxy: a browser adds no key by itself, so who has one was given it."""
    headers = {**key_with(lan, "train"), "Origin": "https://proxy.example"}
    assert lan.get("/jobs", headers=headers).status_code == 200


def test_digests_are_compared_in_constant_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects against timing: whether the id is known, the secret right or nothing right, the same is compared."""
    compared = []

    def compare(a: str, b: str) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("strop.service.security.keys.hmac.compare_digest", compare)
    with database.transaction() as db:
        key, token = make_key(db, "a", ["predict"])
    unknown = f"strop_{'0' * 22}_{'0' * 64}"
    assert recognize(database.read(), token) == key
    assert recognize(database.read(), unknown) is None
    assert compared == [(key.sha256, key.sha256), (hashlib.sha256(unknown.encode()).hexdigest(), "")]

"""`strop keys`: made, listed and revoked on the data folder of a service that runs, or has never run."""

from __future__ import annotations

import httpx


def test_a_key_opens_what_its_scopes_say(cli, make_server):
    """Protects the first key of a box: made while it is served, good at once, and revoked at once."""
    server = make_server().start()
    data = ("--data", server.data)
    created = cli("keys", "create", "laptop", "--scopes", "train, predict", *data)
    assert created.code == 0 and created.out.startswith("strop_") and created.out.count("\n") == 1
    token = created.out.strip()
    assert token not in created.err
    listed = cli("keys", "list", *data, "--json").document["keys"]
    assert [(key["name"], key["scopes"], key["revoked"]) for key in listed] == [("laptop", ["predict", "train"], None)]
    assert token not in cli("keys", "list", *data).out

    def status(path: str) -> int:
        return httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {token}"}).status_code

    assert (status("/jobs"), status("/keys"), httpx.get(f"{server.url}/jobs").status_code) == (200, 403, 401)
    revoked = cli("keys", "revoke", listed[0]["id"], *data, "--json")
    assert revoked.code == 0 and revoked.document["revoked"] is not None
    assert status("/jobs") == 401


def test_a_key_may_come_before_the_first_start(cli, tmp_path):
    """Protects the order that other machines' access needs: key first, then `strop serve --host`."""
    made = cli("keys", "create", "first", "--scopes", "admin", "--data", "box", "--json").document
    assert made["schema"] == "strop.new-key/1" and made["key"].startswith("strop_")
    names = [key["name"] for key in cli("keys", "list", "--data", "box", "--json").document["keys"]]
    assert names == ["first"]
    assert made["key"].encode() not in b"".join(path.read_bytes() for path in (tmp_path / "box").iterdir())


def test_what_is_wrong_is_4_and_makes_nothing(cli, tmp_path):
    """Protects from typing mistakes: an unknown scope or id, and a folder that is none, which stays untouched."""
    assert cli("keys", "create", "x", "--scopes", "everything", "--data", "box").code == 4
    assert cli("keys", "list", "--data", "box", "--json").document["keys"] == []
    unknown = cli("keys", "revoke", "key_00000000000000000000zz", "--data", "box")
    assert unknown.code == 4 and "strop keys list" in unknown.err
    for action in (("list",), ("revoke", "key_00000000000000000000zz")):
        ran = cli("keys", *action, "--data", "elsewhere")
        assert ran.code == 4 and "--data" in ran.err
    assert not (tmp_path / "elsewhere").exists()
    assert cli("keys", "create", "x", "--data", "box").code == 2


def test_many_keys_are_all_listed(cli, monkeypatch):
    """Protects long lists: page after page, each once, newest first."""
    monkeypatch.setattr("strop.service.cli.keys.PAGE", 2)
    for number in range(5):
        cli("keys", "create", f"k{number}", "--scopes", "predict", "--data", "box")
    names = [key["name"] for key in cli("keys", "list", "--data", "box", "--json").document["keys"]]
    assert names == ["k4", "k3", "k2", "k1", "k0"]

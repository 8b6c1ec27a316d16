"""Where commands find a service, and with which key they ask it."""

from __future__ import annotations

from pathlib import Path


def test_the_key_comes_from_a_file_or_the_environment(cli, make_server, monkeypatch, tmp_path):
    """Protects the key: it is no word of the command line, where everybody on the machine could read it."""
    server = make_server().start()
    key = cli("keys", "create", "laptop", "--scopes", "train", "--data", server.data).out
    (tmp_path / "key").write_text(key, encoding="utf-8")
    words = ("jobs", "list", "--on", server.url)
    assert cli(*words).code == 4
    assert cli(*words, "--key-file", "key").code == 0
    monkeypatch.setenv("STROP_KEY", key.strip())
    assert cli(*words).code == 0
    monkeypatch.setenv("STROP_URL", server.url)
    assert cli("jobs", "list").code == 0
    missing = cli(*words, "--key-file", "missing")
    assert missing.code == 4 and "missing" in missing.err
    Path("empty").touch()
    assert cli(*words, "--key-file", "empty").code == 4

"""Settings: where they come from, and that a wrong one is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from strop.service.settings import Settings, SettingsError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TOML file that STROP_CONFIG names."""
    path = tmp_path / "strop.toml"
    monkeypatch.setenv("STROP_CONFIG", str(path))
    return path


def test_arguments_come_before_the_environment_and_that_before_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the order that operators rely on when they override one value."""
    config.write_text("port = 1\nmax_queue = 1\nthreads = 1\n", encoding="utf-8")
    monkeypatch.setenv("STROP_PORT", "2")
    monkeypatch.setenv("STROP_MAX_QUEUE", "2")
    settings = Settings(port=3)
    assert (settings.port, settings.max_queue, settings.threads) == (3, 2, 1)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "99999", "65535"),
        ("PORT", "http", "integer"),
        ("DEVICE", "gpu", "'auto', 'board', 'emulator', 'reference' or 'emulated-board'"),
        ("THREADS", "0", "greater than or equal to 1"),
        ("HOST", "", "at least 1 character"),
        ("BODY_SECONDS", "nan", "finite"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects whoever mistypes a variable: which, what it is, and what it may be."""
    monkeypatch.setenv(f"STROP_{name}", value)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert f"STROP_{name}={value!r}: " in str(caught.value)
    assert allowed in str(caught.value)


def test_a_wrong_value_in_the_file_names_the_file(config: Path) -> None:
    """Protects against a search for the file that a bad value stands in."""
    config.write_text("port = 0\nthreads = 'many'\nhots = '::1'\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert f"threads in {config}='many': " in str(caught.value)
    assert f"hots in {config}: there is no such setting; allowed: data, host, port" in str(caught.value)


def test_a_wrong_argument_is_an_error_too() -> None:
    """Protects callers in Python: the same error, and unknown names are not swallowed."""
    with pytest.raises(SettingsError, match="prot: there is no such setting"):
        Settings(prot=1)


@pytest.mark.parametrize("text", ["port =", "port = 1\nport = 2", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_refused(config: Path, text: str | bytes) -> None:
    """Protects against settings that silently stay as they were."""
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=f"{config}.*TOML"):
        Settings()


def test_a_file_that_is_not_there_is_refused(config: Path) -> None:
    """Protects against a mistyped STROP_CONFIG, which would give defaults: an open port, another data folder."""
    with pytest.raises(SettingsError, match="no such file"):
        Settings()


def test_the_worker_gets_the_same_settings(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects server and worker from different ideas: they share nothing but the environment."""
    config.write_text("max_queue = 7\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = Settings(data="box", threads=2, host="::1", heartbeat_seconds=0.5)
    assert settings.data == tmp_path / "box"
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    assert Settings() == settings


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.com", False),
        ("board.local", False),
    ],
)
def test_loopback_is_recognized(host: str, only_here: bool) -> None:
    """Protects the one case in which no key is needed."""
    assert Settings(host=host).loopback is only_here

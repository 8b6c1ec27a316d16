"""The systemd unit: that systemd accepts it, how little it exposes, and what installing it does. It was started nowhere
here: these machines do not run systemd."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from strop.service import systemd
from strop.service.security.keys import KeyNeeded
from strop.service.settings import Settings
from strop.service.systemd import InstallError, install_unit, uninstall_unit, unit_text

MOST_EXPOSED = 1.5  # without a board; of 10, as systemd counts
MOST_EXPOSED_WITH_BOARD = 3.5  # root, /dev/mem and bitstreams are what pynq needs
COMMAND = ("/bin/true", "serve")  # verify asks that the program is there

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here (apt install systemd)"
)


def unit(settings: Settings, board: bool = False, **environment: str) -> str:
    """Return a unit with an environment of the test's choice."""
    user = "root" if board else "strop"
    return unit_text(settings, board=board, user=user, command=COMMAND, environment=environment)


def entries(text: str) -> dict[str, list[str]]:
    """Return the values of each name, in their order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "[#":
            name, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(name, []).append(value)
    return found


def variables(text: str) -> dict[str, str]:
    """Return the unit's environment as the program would see it."""
    words = [word for value in entries(text)["Environment"] for word in shlex.split(value)]
    return dict(word.replace("%%", "%").split("=", 1) for word in words)


def analyze(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on a unit."""
    path = folder / "strop.service"
    path.write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "--no-pager", *arguments, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@needs_systemd
@pytest.mark.parametrize("board", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_systemd_accepts_the_unit(tmp_path: Path, board: bool, host: str) -> None:
    """Protects against a name or value that systemd would ignore with a line in a journal: hardening, lost."""
    checked = analyze(
        unit(Settings(data="/var/lib/strop", host=host), board), tmp_path, "verify", "--recursive-errors=no"
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    spoiled = unit(Settings(data="/var/lib/strop")).replace("NoNewPrivileges=yes", "NoNewPrivilege=yes")
    assert "NoNewPrivilege" in analyze(spoiled, tmp_path, "verify", "--recursive-errors=no").stderr


@needs_systemd
@pytest.mark.parametrize(("board", "most"), [(False, MOST_EXPOSED), (True, MOST_EXPOSED_WITH_BOARD)])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_unit_exposes_little(tmp_path: Path, board: bool, most: float, host: str) -> None:
    """Protects the rest of the box from the service: systemd's own count of what it could do."""
    text = unit(Settings(data="/var/lib/strop", host=host), board)
    result = analyze(text, tmp_path, "security", "--offline=true")
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", result.stdout)
    assert found is not None, result.stderr
    assert float(found[1]) <= most


def test_chosen_settings_and_pynqs_variables_are_the_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a service that must be what was tried in the shell: what was chosen there goes in, defaults do not."""
    monkeypatch.setenv("STROP_MAX_QUEUE", "7")
    settings = Settings(data="/srv/strop", port=9000)
    text = unit(settings, board=True, BOARD="Pynq-Z2", XILINX_XRT="/usr", HOME="/home/xilinx", STROP_LEASES="/x")
    assert variables(text) == {
        "STROP_DATA": "/srv/strop",
        "STROP_PORT": "9000",
        "STROP_MAX_QUEUE": "7",
        "BOARD": "Pynq-Z2",
        "XILINX_XRT": "/usr",
        "STROP_LEASES": "/x",
    }


@needs_systemd
def test_odd_paths_are_read_back_as_they_are(tmp_path: Path) -> None:
    """Protects against spaces, quotes, percent and dollar signs, which mean something to systemd."""
    odd = '/srv/a b/50%/it\'s "$HOME"'
    command = ("/bin/true", "$HOME", "100%", 'a "b"', "back\\slash")
    text = unit_text(Settings(data=odd), board=False, user="strop", command=command, environment={})
    assert variables(text)["STROP_DATA"] == odd
    assert "50%%" in entries(text)["Environment"][0]
    (start,) = entries(text)["ExecStart"]
    assert "$$HOME" in start
    assert "100%%" in start
    assert [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(start)] == list(command)
    checked = analyze(text, tmp_path, "verify", "--recursive-errors=no")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_only_the_data_folder_is_writable() -> None:
    """Protects the system: a service without a board writes in one place."""
    found = entries(unit(Settings(data="/var/lib/strop")))
    assert found["ReadWritePaths"] == ["/var/lib/strop"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["User"] == ["strop"]


def test_a_board_gets_its_devices_and_no_others() -> None:
    """Protects the board's unit: what pynq needs is there, and the rest stays closed."""
    found = entries(unit(Settings(data="/var/lib/strop"), board=True))
    assert found["DevicePolicy"] == ["closed"]
    assert found["DeviceAllow"] == ["/dev/mem rw", "char-uio rw", "char-drm rw"]
    assert "-/lib/firmware" in found["ReadWritePaths"][0].split()
    assert "PrivateDevices" not in found


def test_homes_are_hidden_unless_something_needed_lies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects people's files, and a service whose program or data lies in a home from not finding it."""
    monkeypatch.setattr(systemd.sys, "path", ["/usr/lib/python3"])
    assert entries(unit(Settings(data="/var/lib/strop")))["ProtectHome"] == ["yes"]
    assert entries(unit(Settings(data="/home/xilinx/strop")))["ProtectHome"] == ["read-only"]
    monkeypatch.setattr(systemd.sys, "path", ["/usr/lib/python3", "/home/xilinx/venv"])
    assert entries(unit(Settings(data="/var/lib/strop")))["ProtectHome"] == ["read-only"]


def test_on_loopback_no_other_machine_is_reached() -> None:
    """Protects a box that serves only itself: systemd drops all other packets, and only then."""
    assert entries(unit(Settings(data="/d")))["IPAddressDeny"] == ["any"]
    assert "IPAddressDeny" not in entries(unit(Settings(data="/d", host="0.0.0.0")))


def test_a_worker_that_is_killed_for_memory_does_not_end_the_service() -> None:
    """Protects predictions: systemd's default would stop the whole unit with the worker."""
    found = entries(unit(Settings(data="/d")))
    assert found["OOMPolicy"] == ["continue"]
    assert found["Restart"] == ["on-failure"]
    assert found["KillMode"] == ["mixed"]


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process believe that it is root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_installing_makes_user_folder_and_unit(tmp_path: Path, as_root: None) -> None:
    """Protects the order: user, data folder with its owner, unit, and then systemd is told."""
    ran: list[Sequence[str]] = []
    settings = Settings(data=tmp_path / "data")
    path = install_unit(settings, board=False, user="strop-nobody", folder=tmp_path, run=ran.append, command=COMMAND)
    assert path == tmp_path / "strop.service"
    assert "User=strop-nobody" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o644
    assert settings.data.is_dir()
    assert [words[0] for words in ran] == ["useradd", "chown", "systemctl", "systemctl"]
    assert ran[1][-2:] == ["strop-nobody:", str(settings.data)]
    assert ran[-1] == ["systemctl", "enable", "--now", "strop.service"]


def test_installing_for_a_board_takes_root(tmp_path: Path, as_root: None) -> None:
    """Protects a board's service: pynq works for root alone, who need not be made."""
    ran: list[Sequence[str]] = []
    path = install_unit(Settings(data=tmp_path / "data"), board=True, folder=tmp_path, run=ran.append)
    assert "User=root" in path.read_text(encoding="utf-8")
    assert "useradd" not in [words[0] for words in ran]


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_root: None) -> None:
    """Protects whoever installs: not root, no systemd, no folder, a command that fails."""
    settings = Settings(data=tmp_path / "data")
    with pytest.raises(InstallError, match=str(tmp_path / "nothing")):
        install_unit(settings, board=True, folder=tmp_path / "nothing", run=lambda words: None)
    with pytest.raises(InstallError, match="no-such-program is not there"):
        systemd._run(["no-such-program"])
    with pytest.raises(InstallError, match="false failed"):
        systemd._run(["false"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InstallError, match="does not use systemd"):
        install_unit(settings, board=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InstallError, match="sudo"):
        install_unit(settings, board=True, folder=tmp_path)


def test_what_a_user_could_not_start_is_not_installed(tmp_path: Path, as_root: None) -> None:
    """Protects whoever has strop in a closed home folder: systemd would only report a status of 203."""
    closed = tmp_path / "home" / "venv"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)
    command = (str(closed / "python"), "serve")
    with pytest.raises(InstallError, match=f"strop cannot start .*: {tmp_path}"):
        install_unit(Settings(data=tmp_path / "data"), board=False, folder=tmp_path, run=_nothing, command=command)
    assert not (tmp_path / "strop.service").exists()
    install_unit(Settings(data=tmp_path / "data"), board=True, folder=tmp_path, run=_nothing, command=command)


def test_a_service_that_would_not_start_is_not_installed(tmp_path: Path, as_root: None) -> None:
    """Protects against a unit that fails ten times and gives up: without a key it must not listen on a network."""
    with pytest.raises(KeyNeeded, match="strop keys create"):
        install_unit(Settings(data=tmp_path / "data", host="0.0.0.0"), board=True, folder=tmp_path, run=_nothing)
    assert not (tmp_path / "strop.service").exists()


def test_a_system_service_has_a_folder_of_the_systems() -> None:
    """Protects data from root's home, which the service could not enter; what was chosen stays."""
    assert variables(unit(Settings()))["STROP_DATA"] == "/var/lib/strop"
    assert variables(unit(Settings(data="/srv/a")))["STROP_DATA"] == "/srv/a"


def test_uninstalling_stops_and_removes(tmp_path: Path, as_root: None) -> None:
    """Protects the way back: stopped, gone, systemd told; and what is not there is said."""
    ran: list[Sequence[str]] = []
    with pytest.raises(InstallError, match="not installed"):
        uninstall_unit(tmp_path, ran.append)
    install_unit(Settings(data=tmp_path / "data"), board=True, folder=tmp_path, run=_nothing)
    assert uninstall_unit(tmp_path, ran.append) == tmp_path / "strop.service"
    assert not (tmp_path / "strop.service").exists()
    assert (tmp_path / "data").is_dir()
    assert ran == [["systemctl", "disable", "--now", "strop.service"], ["systemctl", "daemon-reload"]]


def _nothing(words: Sequence[str]) -> None:
    """Run no command."""

"""The systemd unit that runs `strop serve`, with as few rights as that needs.

One unit: the worker is the server's child, and what it needs of the machine, a board above all, the unit allows.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from strop.host.atomic_file import write_atomically
from strop.runtime.errors import StropError
from strop.service.security.keys import demand_key_beyond_loopback
from strop.service.settings import Settings
from strop.service.store.database import Database

UNIT = "strop.service"
UNITS = Path("/etc/systemd/system")
SERVE = (sys.executable, "-m", "strop.host.cli", "serve")
USER = "strop"
DATA = Path("/var/lib/strop")  # where none was chosen: root's own folder is closed to the service
# What pynq, XRT and strop's runtime read; a unit starts with an empty environment.
KEPT = (
    *("BOARD", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "XILINX_XRT"),
    *("STROP_BOARD", "STROP_BOARD_INTERRUPTS", "STROP_BOARD_TIMEOUT", "STROP_LEASES", "STROP_OVERLAYS"),
)

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))  # what ProtectHome hides

COMMON = """\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectProc=invisible
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
UMask=0077
"""
# Nothing of the machine but its processor: the emulator computes.
PLAIN = """\
CapabilityBoundingSet=
PrivateDevices=yes
PrivateUsers=yes
ProtectKernelTunables=yes
ProcSubset=pid
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""
# pynq wants root, maps registers through /dev/mem and writes bitstreams where the kernel takes them from.
BOARD = """\
CapabilityBoundingSet=CAP_SYS_RAWIO CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN
DevicePolicy=closed
DeviceAllow=/dev/mem rw
DeviceAllow=char-uio rw
DeviceAllow=char-drm rw
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @reboot @swap
SystemCallErrorNumber=EPERM
"""


class InstallError(StropError):
    """The unit cannot be installed."""


def for_system(settings: Settings) -> Settings:
    """Return the settings of a system service: the same, with a data folder of the system's where none was chosen."""
    return settings if "data" in settings.model_fields_set else settings.model_copy(update={"data": DATA})


def unit_text(
    settings: Settings,
    *,
    board: bool,
    user: str,
    command: Sequence[str] = SERVE,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Return the unit. board: whether the worker drives one, for which `user` must be root on PYNQ.

    Settings that were chosen (by argument, environment or file) become the unit's, and so do the variables of
    `environment` that pynq needs.
    """
    settings = for_system(settings)
    chosen = {name: value for name, value in settings.environment().items() if _chosen(settings, name)}
    kept = {name: environment[name] for name in KEPT if name in environment}
    lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted({**kept, **chosen}.items())]
    network = "" if settings.loopback else "Wants=network-online.target\nAfter=network-online.target\n"
    addresses = "IPAddressDeny=any\nIPAddressAllow=localhost\n" if settings.loopback else ""
    needed = [settings.data, Path(command[0]), *map(Path, sys.path)]
    homes = any(path.is_relative_to(home) for path in needed for home in HOMES)
    return f"""\
[Unit]
Description=strop: fine-tunes networks in 8-bit integers and serves them
{network}StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=exec
User={user}
WorkingDirectory={_escaped(str(settings.data))}
{chr(10).join(lines)}
ExecStart={" ".join(_quoted(word.replace("$", "$$")) for word in command)}
Restart=on-failure
RestartSec=2
# the server tells its worker to stop, which ends its mini-batch and writes a checkpoint
KillMode=mixed
TimeoutStopSec=30
# a worker that takes too much memory is started again; the server stays
OOMPolicy=continue
MemoryMax=75%
ReadWritePaths={" ".join(_quoted(path) for path in _writable(settings, board))}
ProtectHome={"read-only" if homes else "yes"}
{addresses}{COMMON}{BOARD if board else PLAIN}
[Install]
WantedBy=multi-user.target
"""


def install_unit(
    settings: Settings,
    *,
    board: bool,
    user: str | None = None,
    command: Sequence[str] = SERVE,
    folder: Path = UNITS,
    run: Callable[[Sequence[str]], None] | None = None,
) -> Path:
    """Write the unit, make its user and data folder, start it now and at every boot; return the unit's path.

    user: default root with a board, else "strop", who is made if need be. Raises `InstallError`, and `KeyNeeded` where
    the service would not start.
    """
    run = run or _run
    settings = for_system(settings)
    user = user or ("root" if board else USER)
    _check_system(folder)
    _check_reachable(Path(command[0]), user)
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        database = Database(settings.database)
        try:
            demand_key_beyond_loopback(settings, database)
        finally:
            database.close()
        _make_user(user, run)
        path = write_atomically(folder / UNIT, [unit_text(settings, board=board, user=user, command=command).encode()])
        path.chmod(0o644)
    except OSError as error:
        raise InstallError(f"{error.filename or folder}: {error.strerror}") from error
    # keys may have been made by root before: the service must be able to write what is there
    run(["chown", "--recursive", "--no-dereference", f"{user}:", str(settings.data)])
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", "--now", UNIT])
    return path


def uninstall_unit(folder: Path = UNITS, run: Callable[[Sequence[str]], None] | None = None) -> Path:
    """Stop the service and remove its unit; return the unit's path. The data stays, and so does the user who owns it.

    Raises `InstallError`.
    """
    run = run or _run
    _check_system(folder)
    path = folder / UNIT
    if not path.exists():
        raise InstallError(f"{path} is not there: the service is not installed")
    run(["systemctl", "disable", "--now", UNIT])
    path.unlink()
    run(["systemctl", "daemon-reload"])
    return path


def _check_system(folder: Path) -> None:
    if os.geteuid() != 0:
        raise InstallError("a system service is installed and removed by root: run the command with sudo")
    if folder == UNITS and shutil.which("systemctl") is None:
        raise InstallError("there is no systemctl here: this system does not use systemd; run strop serve instead")


def _check_reachable(program: Path, user: str) -> None:
    """Raise `InstallError` where a user other than root could not start the program: systemd would only say 203."""
    for folder in () if user == "root" else program.absolute().parents:
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            raise InstallError(
                f"user {user} cannot start {program}: {folder} is closed to others; install strop in a folder that is "
                "open, such as /opt/strop, or run the service as a user who may (--user)"
            )


def _make_user(user: str, run: Callable[[Sequence[str]], None]) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user])


def _chosen(settings: Settings, variable: str) -> bool:
    name = variable.removeprefix("STROP_").lower()
    return name == "data" or name in settings.model_fields_set


def _writable(settings: Settings, board: bool) -> list[str]:
    """Return what the service may write; a leading - lets a folder be missing."""
    folders = [str(settings.data)]
    if board:
        folders += ["-/run/lock", "-/lib/firmware"]  # the board's lease; bitstreams
        found = importlib.util.find_spec("pynq")
        if found is not None and found.origin is not None:
            folders.append(f"-{Path(found.origin).parent}")  # pynq notes there what it has loaded
    return folders


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back: specifiers, variables, quotes and backslashes are only themselves."""
    word = _escaped(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{word}"' if any(character in word for character in " \"'\\;") else word


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise InstallError(f"{command[0]} is not there, and is needed for: {' '.join(command)}") from None
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{' '.join(command)} failed: {error.stderr.strip()}") from None

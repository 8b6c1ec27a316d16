"""The errors that strop raises on purpose. Each says what was wrong, where, what is allowed, and what to do.

StropError
├── InputError (ValueError)         data that a caller passed: shapes, dtypes, labels, hyperparameters
│   ├── DataError                   a data file or folder that is missing, corrupt, truncated or of an unknown kind
│   └── NetworkError                a network that cannot be built: unsupported layer, shapes that do not fit
│       └── LimitError              a layer or mini-batch beyond a limit of the contract
├── MemoryPlanError                 a network and mini-batch that do not fit the device's memory
├── CheckpointError                 a checkpoint that cannot be read or does not belong here
│   ├── CheckpointCorrupt           bytes that do not match their digests
│   └── CheckpointMismatch          another numerics version, another network
└── DeviceError                     a device that is missing, busy, or failed
    ├── DeviceUnavailable           no such device on this machine
    ├── DeviceBusy                  another process holds the device's lease
    ├── ContractMismatch            hardware or kernel built from another contract
    ├── OverlayError                an overlay that is missing, damaged or does not belong here
    │   ├── OverlayMissing          none is installed for the board
    │   └── OverlayCorrupt          files that do not match their digests, or that cannot be read
    ├── ProgramError                the kernel stopped at a command; names the layer
    ├── DeviceTimeout               the kernel made no progress in time; says at which command
    └── BusFault                    an access that nothing answers, or beyond the arena
"""

from __future__ import annotations

import numpy as np


class StropError(Exception):
    """Base of every error that strop raises on purpose."""


class InputError(StropError, ValueError):
    """What the caller passed is not acceptable."""


class DataError(InputError):
    """A data file or folder is missing, corrupt, truncated or of an unknown kind."""


class NetworkError(InputError):
    """A network cannot be built as declared."""


class LimitError(NetworkError):
    """A layer or a mini-batch exceeds a limit of the contract."""


class MemoryPlanError(StropError):
    """The network with this mini-batch does not fit the device's memory."""


class CheckpointError(StropError):
    """A checkpoint cannot be read or does not belong here."""


class CheckpointCorrupt(CheckpointError):
    """A checkpoint's bytes do not match its digests."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint of another numerics version or another network."""


class DeviceError(StropError):
    """A device is missing, busy, or failed."""


class DeviceUnavailable(DeviceError):
    """No such device on this machine."""


class DeviceBusy(DeviceError):
    """Another process holds the device."""


class ContractMismatch(DeviceError):
    """Hardware or kernel built from another contract."""


class OverlayError(DeviceError):
    """An overlay is missing, damaged or does not belong here."""


class OverlayMissing(OverlayError):
    """No overlay is installed for the board."""


class OverlayCorrupt(OverlayError):
    """An overlay's files do not match their digests, or cannot be read."""


class ProgramError(DeviceError):
    """The kernel stopped at a command."""


class DeviceTimeout(DeviceError):
    """The kernel made no progress in time. `report` is what it last said of itself (`contract.REPORT`), or None."""

    def __init__(self, message: str, report: np.void | None = None) -> None:
        super().__init__(message)
        self.report = report


class BusFault(DeviceError):
    """An access that nothing answers, or beyond the arena. The emulated board notices it; hardware hangs, or worse."""

"""Programs on devices: networks compiled for the training kernel, memory planned, mini-batches streamed.

Public names: declare a network (`NetworkGraph` and its layers), open a device (`open_device`), train on it (`Session`).
"""

from strop.runtime.arena_plan import MemoryReport, plan_memory
from strop.runtime.device import Device, open_device
from strop.runtime.errors import (
    BusFault,
    CheckpointCorrupt,
    CheckpointError,
    CheckpointMismatch,
    ContractMismatch,
    DataError,
    DeviceBusy,
    DeviceError,
    DeviceTimeout,
    DeviceUnavailable,
    InputError,
    LimitError,
    MemoryPlanError,
    NetworkError,
    OverlayCorrupt,
    OverlayError,
    OverlayMissing,
    ProgramError,
    StropError,
)
from strop.runtime.graph import (
    L1BN,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    Residual,
)
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch, Session, StepResult

__all__ = [
    "L1BN",
    "BusFault",
    "CheckpointCorrupt",
    "CheckpointError",
    "CheckpointMismatch",
    "ContractMismatch",
    "Conv2d",
    "DataError",
    "Device",
    "DeviceBusy",
    "DeviceError",
    "DeviceTimeout",
    "DeviceUnavailable",
    "Flatten",
    "GlobalAveragePool",
    "Hyperparameters",
    "InputError",
    "LimitError",
    "Linear",
    "MaxPool2d",
    "MemoryPlanError",
    "MemoryReport",
    "Minibatch",
    "NetworkError",
    "NetworkGraph",
    "OverlayCorrupt",
    "OverlayError",
    "OverlayMissing",
    "ProgramError",
    "ReLU",
    "Residual",
    "Session",
    "StepResult",
    "StropError",
    "open_device",
    "plan_memory",
]

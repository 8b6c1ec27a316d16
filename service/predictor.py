"""Predictions in the process that answers: a few versions held ready, each on an emulator of its own.

No alias is cached: each request looks up what it asks for and gets that version, so a moving alias disturbs nobody.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strop.host import Model, Prediction
from strop.runtime.device import Device, open_device
from strop.runtime.errors import CheckpointError, DeviceUnavailable, InputError
from strop.service.problems import Problem
from strop.service.store.models import Version

CAPACITY = 4  # versions held; each takes what training with its mini-batch takes (LeNet-5 with 128: 3 MiB)


@dataclass(eq=False)
class _Held:
    """A version that is held: `lock` is for who asks the model, `users` counts who waits for it or has it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    model: Model | None = None


class Predictor:
    """Answers for versions below `folder`, from any number of threads. Of versions not in use it holds `capacity`."""

    def __init__(self, folder: Path, capacity: int = CAPACITY) -> None:
        self._folder, self._capacity = folder, capacity
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()  # by id, the one that was asked last at the end

    def predict(self, version: Version, images: NDArray[np.uint8]) -> Prediction:
        """Return what a version makes of images uint8 [n, C, H, W].

        Raises `Problem`: version_damaged where its file is not what was recorded, model_untrained.
        """
        with self._use(version.id) as held, held.lock:
            if held.model is None:
                held.model = self._load(version)
            try:
                logits = held.model.predict(images).logits
            except InputError as error:  # the images were checked: it is the network
                raise Problem("model_untrained", f"{_named(version)}: {error}") from error
        return Prediction.of(np.ascontiguousarray(logits))  # adds up a row alike whether it is alone or in company

    def try_out(self, version: Version) -> None:
        """Load a version and ask it once, before it is shown to anybody. Raises `Problem` as `predict` does."""
        self.predict(version, np.zeros((1, *version.manifest["shape"]), np.uint8))

    @property
    def held(self) -> tuple[str, ...]:
        """The ids of the versions that are held, the one that was asked last at the end."""
        with self._lock:
            return tuple(self._held)

    @contextmanager
    def _use(self, id: str) -> Iterator[_Held]:
        """Keep a version from being let go while it is used."""
        with self._lock:
            held = self._held.setdefault(id, _Held())
            self._held.move_to_end(id)
            held.users += 1
        try:
            yield held
        finally:
            with self._lock:
                held.users -= 1
                gone = self._let_go()
            for each in gone:
                _close(each)

    def _let_go(self) -> list[_Held]:
        """Forget versions beyond the capacity, the longest unasked first, and those that could not be loaded."""
        idle = [id for id, held in self._held.items() if held.users == 0]
        failed = [id for id in idle if self._held[id].model is None]
        kept = [id for id in idle if id not in failed]
        beyond = kept[: max(0, len(self._held) - len(failed) - self._capacity)]
        return [self._held.pop(id) for id in (*failed, *beyond)]

    def _load(self, version: Version) -> Model:
        try:
            model = Model.load(self._folder / version.path, device=_device())
        except CheckpointError as error:
            told = str(error).replace(f"{self._folder}/", "")  # where data lie is nobody's business
            raise Problem("version_damaged", f"{_named(version)}: {told}") from error
        found = model.digest()
        if found != version.sha256:
            _close(_Held(model=model))
            raise Problem(
                "version_damaged",
                f"{_named(version)}: its file holds the state {found[:12]}, but {version.sha256[:12]} was recorded",
            )
        return model


def _device() -> Device:
    """Return a device for one version: requests are served side by side, so one thread each."""
    try:
        return open_device("emulator", 1)
    except DeviceUnavailable:
        return open_device("reference")


def _close(held: _Held) -> None:
    if held.model is not None:
        held.model.close()
        held.model.device.close()


def _named(version: Version) -> str:
    return f"version {version.number} ({version.id})"

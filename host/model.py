"""A model: a network with its state, on a device; trained, asked, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.answers import Evaluation, Prediction
from strop.host.checked import class_count, data_set, device_of, file_path, layer_names, pixels, real, whole
from strop.host.checkpoint import Checkpoint, LearnerRecord, read_checkpoint, state_digest, write_checkpoint
from strop.host.classes import check_rows, named_classes, new_class, numbered, with_named_row, with_spare_rows
from strop.host.cursor import DEFAULT_BATCH, FitCursor, TrainingSettings
from strop.host.data.dataset import Dataset
from strop.host.fit import OnEpoch, OnStep
from strop.host.history import History
from strop.host.models import initial_state, network_for
from strop.host.plan_fit import Auto, FitRequest
from strop.host.residence import Residence
from strop.host.samples import check_samples, known_labels
from strop.host.schedules import Schedule
from strop.host.training import Training
from strop.runtime.arena_plan import MemoryReport, plan_memory
from strop.runtime.device import Device
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.session import Minibatch, Session, StepResult
from strop.runtime.state import StateLayout


class Model:
    """A network with its state, on a device. Nothing but training, `load_state` and `add_class` changes it.

    graph: the network. state: its arrays by name (runtime/state.py); copied. classes: the names of the outputs; without
    them "0", "1", ...; fewer than outputs leave the last ones spare (host/classes.py). device: a name for
    `open_device`, or an open device, which several models may share and which stays the caller's to close. threads: of
    the emulator. steps: how many training steps made the state.

    What is not acceptable raises `InputError` (a state of another network `CheckpointMismatch`) before anything
    changes. After a device's failure in the middle of a step the model is as it was before the call, or at the call's
    last checkpoint. One thing at a time: from another thread or from a callback, all that needs the device raises
    `DeviceBusy`.
    """

    def __init__(
        self,
        graph: NetworkGraph,
        state: dict[str, NDArray[Any]],
        *,
        classes: tuple[str, ...] | None = None,
        device: str | Device = "auto",
        threads: int | None = None,
        steps: int = 0,
    ) -> None:
        StateLayout(graph).check(state)
        self._graph = graph
        self._classes = named_classes(graph, classes, state)
        self._owns_device = isinstance(device, str)
        self._device = device_of(device, threads)
        self._residence = Residence(graph, state, self._device)
        self._training = Training(self._residence, steps)

    @classmethod
    def create(
        cls,
        network: str | NetworkGraph,
        *,
        input: tuple[int, int, int] | None = None,
        classes: tuple[str, ...] | int | None = None,
        spare_classes: int = 0,
        seed: int = 0,
        device: str | Device = "auto",
        threads: int | None = None,
    ) -> Model:
        """Return a new model with the first weights that `seed` draws.

        network: a name of the zoo (`strop.host.models.MODELS`), which needs `input` = (channels, height, width) and
        `classes` (their names, or how many); or a `NetworkGraph`, where both may be left out. spare_classes: more
        outputs, for `add_class`; until then the model is to the byte the one that it is without them.
        """
        seed = whole("seed", seed, 0)
        network = network_for(network, input, None if classes is None else class_count(classes))
        names = tuple(classes) if isinstance(classes, (tuple, list)) else numbered(network.classes)
        network, state = with_spare_rows(network, initial_state(network, seed), spare_classes)
        return cls(network, state, classes=names, device=device, threads=threads)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        graph: NetworkGraph | None = None,
        device: str | Device = "auto",
        threads: int | None = None,
    ) -> Model:
        """Return the model of the checkpoint at `path`; with `graph`, only if it is of that network.

        Raises `CheckpointError` (no checkpoint), `CheckpointCorrupt` (damaged; names the tensor), `CheckpointMismatch`.
        """
        return cls.of_checkpoint(read_checkpoint(file_path(path), graph), device=device, threads=threads)

    @classmethod
    def of_checkpoint(cls, found: Checkpoint, *, device: str | Device = "auto", threads: int | None = None) -> Model:
        """Return the model of a checkpoint that was read."""
        model = cls(found.graph, found.state, classes=found.classes, device=device, threads=threads, steps=found.steps)
        training = model._training
        training.settings, training.cursor, training.history = found.settings, found.cursor, found.history
        return model

    def save(self, path: str | Path, *, learner: LearnerRecord | None = None) -> Path:
        """Write a checkpoint in one step: the file at `path` is the old one or the new one. Return its path.

        learner: what a learner needs beside (`Learner.save`). Raises `CheckpointError` where that is not possible; a
        file that was there is intact then.
        """
        with self._residence.turn("save"):
            return write_checkpoint(file_path(path), self._training.checkpoint(self._classes, learner))

    def checkpoint(self) -> Checkpoint:
        """Return what `save` would write, for exports; its arrays are copies."""
        with self._residence.turn("checkpoint"):
            found = self._training.checkpoint(self._classes)
            return replace(found, state={name: array.copy() for name, array in found.state.items()})

    # -- what it is -----------------------------------------------------------------------------------------------
    @property
    def graph(self) -> NetworkGraph:
        """The network."""
        return self._graph

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the outputs that have one, by label."""
        return self._classes

    @property
    def spare_classes(self) -> int:
        """How many outputs are spare; `add_class` takes the first of them."""
        return self._graph.classes - len(self._classes)

    @property
    def device(self) -> Device:
        """The device; `device.description` says which one it is and why."""
        return self._device

    @property
    def steps(self) -> int:
        """Training steps ever."""
        return self._training.steps

    @property
    def history(self) -> History | None:
        """The record of the last fit, as far as it came; None before the first."""
        return self._training.history

    @property
    def cursor(self) -> FitCursor | None:
        """How far the last fit is, for `resume`; None before the first, and once `partial_fit` has trained past it."""
        return self._training.cursor

    @property
    def memory(self) -> MemoryReport:
        """Peak memory of the last fit; before the first, what training with the usual mini-batch would take."""
        training = self._training
        if training.history is not None:
            return training.history.memory
        return plan_memory(self._graph, training.settings.batch, training.settings.hyper)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the state, by name (runtime/state.py)."""
        with self._residence.turn("state"):
            return {name: array.copy() for name, array in self._residence.state().items()}

    def digest(self) -> str:
        """Return sha256 (hex) of the state: equal digests, equal models, whatever device trained them."""
        with self._residence.turn("digest"):
            return state_digest(self._residence.state())

    def __repr__(self) -> str:
        return f"Model({self._graph.name}, {len(self._classes)} classes, {self.steps} steps, on {self._device.name})"

    # -- training -------------------------------------------------------------------------------------------------
    def fit(
        self,
        dataset: Dataset,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch: int | Auto = DEFAULT_BATCH,
        learning_rate: float | Auto = 0.1,
        schedule: str | Schedule = "constant",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        frozen: Iterable[str] = (),
        validation: Dataset | None = None,
        augment: str | None = None,
        seed: int = 0,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | None = None,
        on_step: OnStep | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> History:
        """Train on `dataset` for `epochs` (1 if neither is given) or `steps` mini-batches; return what happened.

        Mini-batches are full: what is left over at the end of an epoch is dropped, and a data set smaller than `batch`
        is one mini-batch. `seed` and the epoch decide the order. batch and learning_rate may be "auto"; what they
        became, and why, is in the history. schedule: "constant", "step" (a tenth from 1/2, a hundredth from 5/6),
        "paper" (from 1/3, from 2/3), "cosine" (to a hundredth), or an object of strop.host.schedules. frozen: layers
        ("conv1") that stay as they are. augment: "crop-flip" (host/data/augmentation.py) varies the training images.

        Every fit starts from momenta of zero, as a new optimizer does; `resume` and `partial_fit` go on with them.

        checkpoint: a file that is written every `checkpoint_every` steps (without it, at the end of each epoch) and at
        the end. on_step is called with a `Progress` after each step, on_epoch with an `EpochRecord`; what they raise,
        and Ctrl-C, ends the fit once the steps under way are done and the checkpoint is written; `resume` then goes on
        with the same next bytes. A second Ctrl-C ends it at once. Raises InputError, MemoryPlanError, CheckpointError,
        DeviceError.
        """
        checkpoint = self._check_fit(dataset, validation, checkpoint)
        if checkpoint is None and checkpoint_every is not None:
            raise InputError(f"checkpoint_every={checkpoint_every} without checkpoint=: name the file to write")
        names = layer_names(frozen)  # read once: it may be an iterator
        words = (epochs, steps, batch, learning_rate, schedule, momentum, weight_decay, names, seed, checkpoint_every)
        request = FitRequest(*words, augment)
        with self._residence.turn("fit"):
            cursor = self._training.plan(request, dataset)
            return self._training.run(
                cursor, None, dataset, validation, checkpoint, self._classes, on_step=on_step, on_epoch=on_epoch
            )

    def resume(
        self,
        dataset: Dataset,
        *,
        validation: Dataset | None = None,
        checkpoint: str | Path | None = None,
        on_step: OnStep | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> History:
        """Go on with an interrupted fit on its data set, to the same bytes as if it had never been interrupted.

        Return the history of the whole fit; one that is finished is returned as it is. Raises `InputError` if there is
        no fit to go on with, `CheckpointMismatch` for other data, and what `fit` raises.
        """
        cursor = self.cursor
        if cursor is None:
            raise InputError(
                "there is no fit to go on with: none was started, or partial_fit has trained past it, or add_class has "
                "changed the model since; start a new fit (in the shell: without --resume)"
            )
        checkpoint = self._check_fit(dataset, validation, checkpoint)
        cursor.dataset.check(dataset)
        with self._residence.turn("resume"):
            return self._training.run(
                cursor, self.history, dataset, validation, checkpoint, self._classes, on_step=on_step, on_epoch=on_epoch
            )

    def partial_fit(self, images: NDArray[np.uint8], labels: ArrayLike, *, learning_rate: float = 0.01) -> StepResult:
        """Train once on images uint8 [n, C, H, W], n >= 2, with integer labels [n], as they come; return the result.

        They are split evenly in mini-batches not larger than the last fit's (128 before the first), whose momentum,
        weight decay and frozen layers hold on. An interrupted fit cannot be resumed afterwards.
        """
        samples = Dataset.from_arrays(pixels(images), labels, classes=self._classes, layout="NCHW")
        self._check(samples, "partial_fit's samples")
        if len(samples) < 2:
            raise InputError("partial_fit was given 1 sample; batch normalization needs at least 2")
        # so that no part of a split has 1 sample; of a loop of one's own only the network's settings hold on
        last = self._training.settings
        settings = TrainingSettings(max(4, last.batch), last.hyper, last.frozen)
        rate = real("learning_rate", learning_rate)
        parts = -(-len(samples) // settings.batch)
        edges = [len(samples) * part // parts for part in range(parts + 1)]
        minibatches = (
            Minibatch(samples.images[a:b], samples.labels[a:b], rate) for a, b in zip(edges, edges[1:], strict=False)
        )
        with self._residence.turn("partial_fit"):
            return sum(self._training.train_on(settings, minibatches), StepResult(0, 0, 0))

    def train_on(
        self,
        minibatches: Iterable[Minibatch],
        settings: TrainingSettings,
        *,
        prepare: Callable[[Session], None] | None = None,
        on_result: Callable[[StepResult], None] | None = None,
    ) -> list[StepResult]:
        """Train on mini-batches as they come, for loops of one's own; return each step's result.

        They are taken while the device trains on those before (`Session.train`), after `prepare` was called with the
        session; on_result is called with each step's result. Labels are those of named classes. With `settings.after`
        they come with feature maps that `features` gave, as bytes value + 128. Whatever is raised on the way, the model
        is as before the call. An interrupted fit cannot be resumed afterwards.
        """
        with self._residence.turn("train_on"):
            return self._training.train_on(settings, known_labels(minibatches, self._classes), prepare, on_result)

    def load_state(self, state: dict[str, NDArray[Any]], *, steps: int) -> None:
        """Go on from `state`, a state of this network after `steps` training steps; copied.

        Raises `CheckpointMismatch`, or `InputError` if other outputs are spare in it than here; the model is as it was
        then. An interrupted fit cannot be resumed afterwards.
        """
        StateLayout(self._graph).check(state)
        check_rows(self._graph, state, len(self._classes))
        with self._residence.turn("load_state"):
            self._training.restart({name: array.copy() for name, array in state.items()}, whole("steps", steps, 0))

    # -- classes --------------------------------------------------------------------------------------------------
    def add_class(self, name: str) -> int:
        """Give the first spare output to a new class `name`; return its label.

        It begins with weights and momenta of 0 and the smallest bias of all classes, so it seldom wins before it is
        trained: only where every other logit is below that bias. An interrupted fit cannot be resumed afterwards.
        Raises `InputError`: no spare output (`with_spare_classes`), a name that there is, no string.
        """
        with self._residence.turn("add_class"):
            label = len(self._classes)
            classes = (*self._classes, new_class(name, self._classes, self._graph))
            self._training.restart(with_named_row(self._graph, self._residence.state(), label), self.steps)
            self._classes = classes
        return label

    def with_spare_classes(
        self, spare_classes: int, *, device: str | Device = "auto", threads: int | None = None
    ) -> Model:
        """Return a new model that has that many more outputs, all spare, and else what this one has.

        Its logits of the classes are the same bytes. It has no fit to resume and no history. device and threads as when
        a model is made; `device=model.device` shares this one's. Raises `InputError`, `LimitError`.
        """
        graph, state = with_spare_rows(self._graph, self.state(), spare_classes)
        model = Model(graph, state, classes=self._classes, device=device, threads=threads, steps=self.steps)
        model._training.settings = self._training.settings
        return model

    # -- inference ------------------------------------------------------------------------------------------------
    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Return loss and accuracy on `dataset`. Changes nothing. Raises `InputError`, also if never trained."""
        self._check(dataset, "the data set")
        with self._residence.turn("evaluate"):
            result = self._training.for_inference().evaluate(dataset.images, dataset.labels)
        return Evaluation(result.loss, result.accuracy, result.samples)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Return what the model makes of images uint8 [n, C, H, W], of its classes; spare outputs have no part in it.

        Changes nothing. Raises as `evaluate`.
        """
        with self._residence.turn("predict"):
            logits = self._training.for_inference().logits(pixels(images))
        return Prediction.of(logits[:, : len(self._classes)])

    def features(self, images: NDArray[np.uint8], after: str) -> NDArray[np.int8]:
        """Return the feature maps int8 [n, C', H', W'] that layer `after` gives for images uint8 [n, C, H, W].

        after: one of `strop.runtime.cut_points(model.graph)`. Changes nothing. Raises as `evaluate`.
        """
        with self._residence.turn("features"):
            return self._training.for_inference().features(pixels(images), after)

    # -- the device -----------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the device if the model opened it. The model cannot be used afterwards: `DeviceError`."""
        self._residence.close()
        if self._owns_device:
            self._device.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- inside ---------------------------------------------------------------------------------------------------
    def _check(self, dataset: Dataset, what: str) -> None:
        check_samples(data_set(dataset, what), self._graph, self._classes, what)

    def _check_fit(self, dataset: Dataset, validation: Dataset | None, checkpoint: str | Path | None) -> Path | None:
        """Refuse what no fit can be run with; return where its checkpoint goes."""
        self._check(dataset, "the data set")
        if validation is not None:
            self._check(validation, "the validation set")
        return None if checkpoint is None else file_path(checkpoint)

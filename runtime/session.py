"""A session: one network's state in one device's arena, trained and asked mini-batch by mini-batch.

The arena holds, in this order: the state, the program under way, the kernel's report, two queues of mini-batch slots,
and the workspace that the planner shares out. While the device trains on one queue, in one start, the host fills the
other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from strop.runtime.activation_table import activation_table
from strop.runtime.anchors import check_anchors
from strop.runtime.arena_plan import QUEUES, ArenaPlan
from strop.runtime.compiler import compile_features, compile_inference, compile_training, compile_views
from strop.runtime.contract import SLOT, C, Registers
from strop.runtime.cut import cut
from strop.runtime.device import Device
from strop.runtime.errors import DeviceError, DeviceTimeout, InputError
from strop.runtime.feature_map import map_bytes, unpack_map
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters, mantissa_and_shift
from strop.runtime.program import Program
from strop.runtime.soft_targets import ONE, check_output_targets, check_targets, one_hot, target_rows

_TURNS: WeakKeyDictionary[Device, Lock] = WeakKeyDictionary()  # one start of a device at a time, whoever asks


@dataclass(frozen=True)
class Minibatch:
    """images uint8 [N, C, H, W], labels int32 [N], and the learning rate of its step.

    targets int32 [N, classes], where `Hyperparameters.has_targets`: what error and loss are measured by instead of the
    labels, in units of 2^-15; for cross-entropy a sample's are 32768 in sum, and None stands for what the labels say.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    learning_rate: float
    targets: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class StepResult:
    """What the kernel measured on samples as it met them: summed loss (LSB 2^-16 nat), correct answers, samples."""

    loss_sum_q16: int
    correct: int
    samples: int

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        return self.loss_sum_q16 * 2.0**-C.LOSS_FRACTION / max(1, self.samples)

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return self.correct / max(1, self.samples)

    def __add__(self, other: StepResult) -> StepResult:
        return StepResult(
            self.loss_sum_q16 + other.loss_sum_q16, self.correct + other.correct, self.samples + other.samples
        )


@dataclass
class _Queue:
    """Mini-batches written to slots from `first` on, for one start; then `held`, of another size, or the end."""

    first: int
    count: int = 0
    program: Program | None = None
    held: Minibatch | None = None
    ended: bool = False
    failure: Exception | None = None


class Session:
    """One network on one device. The device's arena belongs to the session; `close` closes the device.

    queue: the most mini-batches in one start (1 to 16): fewer take less memory, and change no byte of what is computed.
    Raises what compiling raises, and `MemoryPlanError` where the network with this mini-batch does not fit.
    """

    def __init__(
        self,
        graph: NetworkGraph,
        device: Device,
        *,
        batch: int,
        hyper: Hyperparameters | None = None,
        frozen: frozenset[str] = frozenset(),
        queue: int | None = None,
    ) -> None:
        self.graph, self.device, self.batch = graph, device, batch
        self.hyper, self.frozen = hyper or Hyperparameters(), frozen
        plan = ArenaPlan(graph, batch, self.hyper, frozen, queue)
        self._layout, self._base, self._slot_bytes, self._queue = plan.layout, plan.base, plan.slot_bytes, plan.queue
        self._inference_batch, self._placed = plan.inference_batch, plan.placed
        self.memory = plan.report
        self._programs: dict[tuple[str, int], Program] = {}
        self._loaded: Program | None = None
        self._training = False
        self._turn = _TURNS.setdefault(device, Lock())
        with self._turn:  # a step that another session has under way ends first
            device.allocate(self.memory.peak)
            self._arena = device.arenas

    # -- state ----------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of everything that must survive, by name (runtime/state.py)."""
        self._refuse_while_training("state")
        return {
            t.name: self.device.read(t.offset, t.nbytes).view(t.dtype).reshape(t.shape) for t in self._layout.stored
        }

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Replace the state and derive the int8 views. Raises `CheckpointMismatch`, and changes nothing then."""
        self._refuse_while_training("load_state")
        self._layout.check(state)
        for tensor in self._layout.stored:
            self.device.write(tensor.offset, np.ascontiguousarray(state[tensor.name]))
        for name, (layer, exponent) in self._layout.tables.items():
            self.device.write(self._layout.offset(name), activation_table(layer, exponent))
        self._run(self._program("views", 1), 0, 1)

    def load_anchors(
        self, anchors: Mapping[str, NDArray[np.int32]], importances: Mapping[str, NDArray[np.uint8]]
    ) -> None:
        """Replace what parameters are pulled towards and how firmly (runtime/anchors.py); until then nothing is.

        Both hold every parameter, by name ("conv1.weight", "bn1.gamma", "fc3.bias"). They are no part of the state:
        a session that goes on with it needs them again. Raises `InputError`, and changes nothing then; needs
        `Hyperparameters.elastic`.
        """
        self._refuse_while_training("load_anchors")
        if not self.hyper.elastic:
            raise InputError("this session pulls nothing; make it with Hyperparameters(elastic=True)")
        check_anchors(self._layout, anchors, importances)
        for name in self._layout.parameters:
            self.device.write(self._layout.offset(f"{name}.anchor"), np.ascontiguousarray(anchors[name]))
            self.device.write(self._layout.offset(f"{name}.importance"), np.ascontiguousarray(importances[name]))

    # -- training -------------------------------------------------------------------------------------------------
    def train(self, batches: Iterable[Minibatch]) -> Generator[StepResult, None, None]:
        """Train on mini-batches of `hyper.least_batch` to `batch` samples; yield each step's result, in order.

        Two queues: mini-batches are prepared and written while the device trains on those before, so results come up
        to two queues later than their mini-batches were taken. A mini-batch that is not acceptable raises `InputError`
        after the steps before it, before anything of it is trained.
        """
        self._refuse_while_training("train")
        self._training = True
        source = iter(batches)
        running: Future[list[StepResult]] | None = None
        queue = _Queue(0)
        # one worker: starts of the kernel follow each other in order
        with ThreadPoolExecutor(1, thread_name_prefix="strop-device") as worker:
            try:
                while not queue.ended:
                    queue = self._fill_queue(source, queue.held, (queue.first + self._queue) % (QUEUES * self._queue))
                    previous = running
                    if queue.count:
                        running = worker.submit(self._run_next, previous, queue)
                    if previous is not None and previous is not running:
                        yield from previous.result()
                if running is not None:
                    last, running = running, None
                    yield from last.result()
                if queue.failure is not None:
                    raise queue.failure
            finally:
                if running is not None:
                    running.exception()  # let the steps under way end; their error is not the caller's
                self._training = False

    def _fill_queue(self, source: Iterator[Minibatch], held: Minibatch | None, first: int) -> _Queue:
        """Write mini-batches of one size to the slots from `first` on, `held` before others."""
        queue = _Queue(first)
        try:
            while queue.count < self._queue:
                minibatch = held if held is not None else next(source)
                held = None
                self._check(minibatch.images, minibatch.labels, self.hyper.least_batch, self.batch)
                targets = self._targets_of(minibatch)
                rate = mantissa_and_shift(minibatch.learning_rate, "learning rate")
                program = self._program("train", len(minibatch.labels))
                if queue.program is not None and program is not queue.program:
                    queue.held = minibatch
                    break
                self._fill(program, first + queue.count, minibatch.images, minibatch.labels, rate, targets)
                queue.program = program
                queue.count += 1
        except StopIteration:
            queue.ended = True
        except Exception as failure:  # whatever preparing raised: the steps before stand
            queue.ended, queue.failure = True, failure
        return queue

    def _targets_of(self, minibatch: Minibatch) -> NDArray[np.int32] | None:
        """Return the targets of a mini-batch, checked; None where the session trains on labels."""
        samples = len(minibatch.labels)
        if self.hyper.loss != "cross_entropy":
            if minibatch.targets is None:
                raise InputError(f"the mini-batch has no targets, and the loss is {self.hyper.loss}; pass targets=")
            least = 0 if self.hyper.loss == "binary_cross_entropy" else -ONE
            check_output_targets(minibatch.targets, samples, self.graph.classes, least)
            return minibatch.targets
        if not self.hyper.soft_targets:
            if minibatch.targets is not None:
                raise InputError("the mini-batch has targets; make the session with Hyperparameters(soft_targets=True)")
            return None
        if minibatch.targets is None:
            return one_hot(minibatch.labels, self.graph.classes)
        check_targets(minibatch.targets, samples, self.graph.classes)
        return minibatch.targets

    # -- inference ------------------------------------------------------------------------------------------------
    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the logits, float64 [n, classes], of images uint8 [n, C, H, W]. Changes nothing of the state."""
        parts = [part for part, _ in self._infer(images, np.zeros(len(images), np.int32))]
        return np.concatenate(parts) if parts else np.zeros((0, self.graph.classes))

    def evaluate(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> StepResult:
        """Return loss and correct answers on labelled samples. Changes nothing of the state."""
        total = StepResult(0, 0, 0)
        for _, result in self._infer(images, labels):
            total += result
        return total

    def _infer(
        self, images: NDArray[np.uint8], labels: NDArray[np.int32]
    ) -> Iterator[tuple[NDArray[np.float64], StepResult]]:
        self._refuse_while_training("inference")
        self._check(images, labels, 0, len(images))
        for start in range(0, len(images), self._inference_batch):
            part = slice(start, start + self._inference_batch)
            program = self._program("infer", len(labels[part]))
            self._fill(program, 0, images[part], labels[part], (0, 0))
            result = self._run(program, 0, 1)[0]
            slot = program.slot
            at = self._base.slots
            exponent = int(self.device.read(at + slot.logits_exponent, 4).view(np.int32)[0])
            raw = self.device.read(at + slot.logits, self.graph.classes * slot.logits_plane)
            rows = raw.view(np.int32).reshape(self.graph.classes, -1)[:, : slot.batch]
            yield rows.T * 2.0**-exponent, result

    def features(self, images: NDArray[np.uint8], after: str) -> NDArray[np.int8]:
        """Return what layer `after` gives for images uint8 [n, C, H, W]: int8 [n, C', H', W']. Changes no state.

        `after` is one of `cut_points(graph)`; the exponent of its map is that of the cut's rear.
        """
        self._refuse_while_training("features")
        self._check(images, np.zeros(len(images), np.int32), 0, len(images))
        shape = cut(self.graph, after).rear.input
        parts = [np.zeros((0, *shape), np.int8)]
        for start in range(0, len(images), self._inference_batch):
            part = images[start : start + self._inference_batch]
            program = self._features_program(after, len(part))
            self._fill(program, 0, part, np.zeros(len(part), np.int32), (0, 0))
            assert program.result is not None
            with self._turn:
                self._check_arena()
                self._run_in_turn(program, 0, 1)
                words = self.device.read(program.result, map_bytes(len(part), shape))
            parts.append(unpack_map(words, len(part), shape))
        return np.concatenate(parts)

    # -- the device -----------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the device, after the step under way if there is one."""
        with self._turn:
            self.device.close()

    def _program(self, kind: str, batch: int) -> Program:
        key = (kind, batch)
        if key not in self._programs:
            if kind == "train":
                program = compile_training(
                    self.graph, self._layout, batch, self._base, self.hyper, self.frozen, self._placed[kind]
                )
            elif kind == "infer":
                program = compile_inference(self.graph, self._layout, batch, self._base, self._placed[kind])
            else:
                program = compile_views(self.graph, self._layout, self._base, self.hyper)
            self._programs[key] = program
        return self._programs[key]

    def _features_program(self, after: str, batch: int) -> Program:
        key = (f"features behind {after}", batch)
        if key not in self._programs:
            placed = self._placed["infer"]  # of which it is the front
            self._programs[key] = compile_features(self.graph, self._layout, batch, self._base, after, placed)
        return self._programs[key]

    def _fill(
        self,
        program: Program,
        index: int,
        images: NDArray[np.uint8],
        labels: NDArray[np.int32],
        rate: tuple[int, int],
        targets: NDArray[np.int32] | None = None,
    ) -> None:
        self._check_arena()
        at = self._base.slots + index * self._slot_bytes
        head = np.zeros(1, SLOT)
        head["learning_rate_mantissa"], head["learning_rate_shift"] = rate
        self.device.write(at, head)
        self.device.write(at + program.slot.labels, np.ascontiguousarray(labels))
        self.device.write(at + program.slot.images, np.ascontiguousarray(images))
        if targets is not None:
            self.device.write(at + program.slot.logits, target_rows(targets, program.slot.logits_plane))

    def _run_next(self, previous: Future[list[StepResult]] | None, queue: _Queue) -> list[StepResult]:
        if previous is not None:
            previous.result()  # it has ended; where it failed nothing is run after it
        assert queue.program is not None
        return self._run(queue.program, queue.first, queue.count)

    def _run(self, program: Program, first: int, steps: int) -> list[StepResult]:
        with self._turn:
            self._check_arena()
            self._run_in_turn(program, first, steps)
            return [self._result(index) for index in range(first, first + steps)]

    def _run_in_turn(self, program: Program, first: int, steps: int) -> None:
        if self._loaded is not program:
            self.device.write(self._base.commands, program.commands)
            self._loaded = program
        registers = Registers(
            program=self._base.commands,
            commands=len(program.commands),
            steps=steps,
            slots=self._base.slots,
            slot_stride=self._slot_bytes,
            slot_count=QUEUES * self._queue,
            first_slot=first,
            report=self._base.report,
        )
        try:
            report = self.device.run(registers)
        except DeviceTimeout as error:
            if error.report is None:
                raise
            raise DeviceTimeout(f"{program.locate(error.report)}: {error}", error.report) from error
        program.raise_for(report)

    def _result(self, index: int) -> StepResult:
        head = self.device.read(self._base.slots + index * self._slot_bytes, SLOT.itemsize).view(SLOT)[0]
        return StepResult(int(head["loss_sum"]), int(head["correct"]), int(head["samples"]))

    def _check_arena(self) -> None:
        if self.device.arenas != self._arena:
            raise DeviceError(
                f"another session took {self.device.name}'s memory, and this one's is gone: one session at a time"
            )

    def _refuse_while_training(self, what: str) -> None:
        self._check_arena()
        if self._training:
            raise DeviceError(f"{what} was asked for while train() is under way: finish or close its iterator first")

    def _check(self, images: NDArray[Any], labels: NDArray[Any], least: int, most: int) -> None:
        expected = ("N", *self.graph.input)
        if images.dtype != np.uint8 or images.shape[1:] != self.graph.input:
            raise InputError(
                f"images are {images.dtype}{list(images.shape)}; {self.graph.name} takes uint8{list(expected)}"
            )
        if labels.dtype != np.int32 or labels.shape != images.shape[:1]:
            raise InputError(
                f"labels are {labels.dtype}{list(labels.shape)}; expected int32[{len(images)}], one an image"
            )
        if not least <= len(labels) <= most:
            raise InputError(f"a mini-batch of {len(labels)} samples; allowed: {least} to {most}")
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < self.graph.classes:
            bad = int(np.flatnonzero((labels < 0) | (labels >= self.graph.classes))[0])
            raise InputError(
                f"label {int(labels[bad])} of sample {bad} is out of range; {self.graph.name} has classes 0 to "
                f"{self.graph.classes - 1}"
            )

"""The C header, compiled: its logits are those of strop, byte for byte, on networks of every kind of layer."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from small_networks import ADVERSARIAL, BRANCHES, DENSE, FLATTENED, JOINT, MIXED, RESIDUAL
from strop.host import Model, TrainingSettings, load_dataset, read_checkpoint
from strop.host.export import export_checkpoint
from strop.host.export.c_header import identifier
from strop.host.models import initial_state
from strop.host.pretrained import pretrained_path
from strop.runtime.session import Minibatch

COMPILER = shutil.which("gcc") or shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")

PROGRAM = """\
#include <stdio.h>
#include "network.h"

int main(void) {
  static uint8_t image[UPPER_CHANNELS * UPPER_HEIGHT * UPPER_WIDTH];
  while (fread(image, sizeof image, 1, stdin) == 1) {
    int32_t logits[UPPER_CLASSES + 1];
    NAME_logits(image, logits);
    logits[UPPER_CLASSES] = NAME_predict(image);
    fwrite(logits, sizeof logits, 1, stdout);
  }
  fprintf(stderr, "%d %s", UPPER_LOGITS_EXPONENT, NAME_classes[UPPER_CLASSES - 1]);
  return 0;
}
"""


def run_in_c(folder: Path, name: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Compile a program around folder/network.h and run it; return logits float64 [n, K], labels, the last class.

    Strict C99 with all warnings as errors; what the language leaves undefined ends the program.
    """
    text = PROGRAM.replace("NAME", name).replace("UPPER", name.upper())
    (folder / "main.c").write_text(text)
    options = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    checks = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
    subprocess.run([COMPILER, *options, *checks, "main.c", "-o", "main"], cwd=folder, check=True, timeout=60)
    done = subprocess.run([folder / "main"], input=images.tobytes(), capture_output=True, check=True, timeout=60)
    exponent, last = done.stderr.decode().split(" ", 1)
    rows = np.frombuffer(done.stdout, np.int32).reshape(len(images), -1)
    return rows[:, :-1] * 2.0 ** -int(exponent), rows[:, -1], last


def check(model: Model, images: np.ndarray, folder: Path) -> str:
    """Compare a model's logits and labels with those of its header; return the name of the last class in C."""
    export_checkpoint(model.save(folder / "model.safetensors"), "c-header", folder / "network.h")
    logits, labels, last = run_in_c(folder, identifier(model.graph.name), images)
    expected = model.predict(images)
    assert np.array_equal(logits, expected.logits) and np.array_equal(labels, expected.labels)
    assert len(np.unique(expected.logits)) > 8, "images that all look alike would compare little"
    return last


def test_lenet5(tmp_path):
    """The network that strop brings along, on images that it was not trained on."""
    with Model.load(pretrained_path(), device="emulator", threads=1) as model:
        assert check(model, load_dataset("fashion-mnist-subset", "test").images[::40], tmp_path) == "Ankle boot"


@pytest.mark.parametrize(
    "graph", [MIXED, FLATTENED, RESIDUAL, BRANCHES, DENSE, JOINT, ADVERSARIAL], ids=lambda graph: graph.name
)
def test_every_kind_of_layer(tmp_path, graph):
    """Stride, padding, groups, pooling, joint maps, tables, biases, transposed convolutions, after a little training.

    Spare outputs are left out, and a class's name may hold whatever a C string does not.
    """
    generator = np.random.Generator(np.random.PCG64(1))
    images = generator.integers(0, 256, (48, *graph.input), np.uint8)
    labels = generator.integers(0, graph.classes, 48).astype(np.int32)
    images[:, :, :4] //= (labels + 1).astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    classes = tuple(f"{number}" for number in range(graph.classes - 1)) + ('Öl "??/\\',)
    state = initial_state(graph, 3)
    with Model(graph, state, classes=classes, device="emulator", threads=1) as narrow:
        model = narrow.with_spare_classes(2, device=narrow.device)
        rows = [slice(start, start + 16) for start in (0, 16, 32)] * 4
        model.train_on((Minibatch(images[part], labels[part], 0.1) for part in rows), TrainingSettings(16))
        assert check(model, images, tmp_path) == classes[-1]


def test_one_exponent_for_all_channels(tmp_path):
    """How weights are viewed is a setting of the training, which the checkpoint knows."""
    with Model.load(pretrained_path(), device="emulator", threads=1) as model:
        found = read_checkpoint(pretrained_path())
        settings = replace(found.settings, hyper=replace(found.settings.hyper, per_channel_weights=False))
        other = Model.of_checkpoint(replace(found, settings=settings, cursor=None, history=None), device=model.device)
        check(other, load_dataset("fashion-mnist-subset", "test").images[:60], tmp_path)


def test_identifiers():
    """Any network's name becomes one that C takes."""
    names = {"vgg-small": "vgg_small", "ResNet 8": "resnet_8", "3x": "net_3x", "---": "network"}
    assert {name: identifier(name) for name in names} == names

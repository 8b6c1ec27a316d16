"""Files that cannot be imported: each is refused with a reason and a remedy, and all obstacles are told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnx_files import OnnxFile, onnx, some_images
from strop.host.importing import ModelImportError, UnsupportedNodes, import_onnx
from strop.host.importing.onnx_file import MAX_PARAMETERS


def attempt(path: Path, **options: object) -> ModelImportError:
    """Return the error of importing a file."""
    with pytest.raises(ModelImportError) as raised:
        import_onnx(path, calibration=some_images(4), **options)  # type: ignore[arg-type]
    return raised.value


def good() -> OnnxFile:
    """A network that could be imported."""
    file = OnnxFile()
    file.conv(1, 4), file.batch_norm(4), file.node("Relu"), file.head(144)
    return file


def external(path: Path, location: str, **more: int) -> Path:
    """Write a good network whose first weights lie in another file."""
    model = good().model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data"), tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    path.write_bytes(model.SerializeToString())
    return path


def test_all_obstacles_at_once(tmp_path: Path) -> None:
    """Protects a user from one obstacle after the other: every node is listed, with its name, why, and a remedy."""
    file = OnnxFile()
    file.conv(1, 4, dilations=[2, 2]), file.node("LayerNormalization", file.constant(np.ones(4)))
    file.node("MyOp", domain="com.example"), file.node("LpNormalization"), file.node("Relu"), file.head(64)
    model = file.model()
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    error = attempt(tmp_path / "net.onnx")
    assert isinstance(error, UnsupportedNodes)
    assert [obstacle.op for obstacle in error.obstacles] == ["Conv", "LayerNormalization", "MyOp", "LpNormalization"]
    assert [obstacle.node for obstacle in error.obstacles][0] == "/conv0"
    for obstacle in error.obstacles:
        assert obstacle.why and obstacle.remedy and str(obstacle) in str(error)
    assert "com.example" in error.obstacles[2].why


def training_mode(f: OnnxFile) -> None:
    """Batch normalization that would use the mini-batch."""
    f.conv(1, 4)
    names = [f.constant(np.ones(4)) for _ in range(4)]
    f.nodes.append(onnx.helper.make_node("BatchNormalization", [f.last, *names], ["b", "m", "v"], training_mode=1))
    f.last = "b"
    f.head(144)


def squeeze_and_excitation(f: OnnxFile) -> None:
    """A product of two values that depend on the images."""
    x = f.conv(1, 4)
    f.node("GlobalAveragePool"), f.conv(4, 4, 1), f.node("Sigmoid")
    f.node("Mul", f.last, source=x), f.head(144)


def one_dimensional(f: OnnxFile) -> None:
    """A convolution over time."""
    f.shape = ("N", 1, 8, 8)
    f.node("Reshape", f.constant([-1, 8, 8], np.int64)), f.node("Conv", f.weights(4, 8, 3)), f.head(24)


def half_branch(f: OnnxFile) -> None:
    """Branches that cross: what is added comes from inside another branch."""
    x = f.conv(1, 4)
    y = f.node("Relu", source=x)
    f.conv(4, 4, 1)
    z = f.node("Relu")
    a = f.node("Add", y, source=f.conv(4, 4, 1))
    b = f.node("Add", a, source=f.node("Relu", source=x))
    f.node("Add", b, source=z), f.head(144)


def shuffled(f: OnnxFile) -> None:
    """A transposition of height and width."""
    f.conv(1, 4), f.node("Transpose", perm=[0, 1, 3, 2]), f.head(144)


def infinite(f: OnnxFile) -> None:
    """Weights that are not numbers."""
    f.node("Conv", f.constant(np.full((4, 1, 3, 3), np.nan))), f.head(144)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (training_mode, "model.eval"),
        (squeeze_and_excitation, "squeeze-and-excitation"),
        (one_dimensional, "flattening"),
        (half_branch, "branches"),
        (shuffled, "channels first and channels last"),
        (infinite, "not finite"),
    ],
)
def test_networks_without_a_counterpart(pattern: Callable[[OnnxFile], None], words: str, tmp_path: Path) -> None:
    """Protects from networks that would become something else."""
    file = OnnxFile()
    pattern(file)
    error = attempt(file.save(tmp_path))
    assert isinstance(error, UnsupportedNodes) and words in str(error)


def test_files_that_are_no_onnx(tmp_path: Path) -> None:
    """Protects from tracebacks of the parser: no file, text, nothing, half a file."""
    whole = good().save(tmp_path).read_bytes()
    for name, content in (("text", b"hello, world" * 9), ("empty", b""), ("half", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        assert "ONNX" in str(attempt(tmp_path / name)), name
    assert "does not exist" in str(attempt(tmp_path / "nothing"))
    assert "is no file" in str(attempt(tmp_path))


def test_external_data_outside_missing_or_short(tmp_path: Path) -> None:
    """Protects files of this machine from a network that names them, and from reading beyond an end."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 144)
    assert "outside the folder" in str(attempt(external(tmp_path / "inner" / "a.onnx", "../secret")))
    assert "outside the folder" in str(attempt(external(tmp_path / "inner" / "b.onnx", str(tmp_path / "secret"))))
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "secret")
    assert "outside the folder" in str(attempt(external(tmp_path / "inner" / "c.onnx", "link")))
    assert "missing" in str(attempt(external(tmp_path / "inner" / "d.onnx", "weights.bin")))
    (tmp_path / "inner" / "short").write_bytes(b"\0" * 100)
    assert "truncated" in str(attempt(external(tmp_path / "inner" / "e.onnx", "short", offset=0, length=144)))


def test_external_data_beside_the_file(tmp_path: Path) -> None:
    """Protects networks that are stored in two files, as those over 2 GB are."""
    (tmp_path / "weights.bin").write_bytes((np.arange(36, dtype=np.float32) / 64).tobytes())
    imported = import_onnx(external(tmp_path / "net.onnx", "weights.bin"), calibration=some_images(4))
    assert imported.network.weights["conv1"].size == 36


def test_cycles_and_inputs_from_nowhere(tmp_path: Path) -> None:
    """Protects from walking in circles."""
    model = good().model()
    model.graph.node[0].input[0] = model.graph.node[2].output[0]
    (tmp_path / "cycle.onnx").write_bytes(model.SerializeToString())
    assert "topologically sorted, however input 'relu2' of node: name: /conv0" in str(attempt(tmp_path / "cycle.onnx"))
    model = good().model()
    model.graph.node[1].input[1] = "nowhere"
    (tmp_path / "nowhere.onnx").write_bytes(model.SerializeToString())
    assert "topologically sorted, however input 'nowhere'" in str(attempt(tmp_path / "nowhere.onnx"))


def test_further_results_of_a_node(tmp_path: Path) -> None:
    """Protects from a mask or indices taken for the value itself, and from a reason that blames the file."""
    for op, options in (("Dropout", {}), ("MaxPool", {"kernel_shape": [2, 2]})):
        file = OnnxFile()
        file.conv(1, 4)
        file.nodes.append(onnx.helper.make_node(op, [file.last], ["first", "second"], **options))
        file.node("Cast", source="second", to=onnx.TensorProto.FLOAT), file.head(144)
        assert "its input 'second' is a further result of a node" in str(attempt(file.save(tmp_path)))


def test_huge_and_zero_sizes(tmp_path: Path) -> None:
    """Protects the memory of this machine: sizes are added up before anything is made."""
    model = good().model()
    model.graph.initializer[0].dims[0] = MAX_PARAMETERS
    (tmp_path / "huge.onnx").write_bytes(model.SerializeToString())
    assert f"{MAX_PARAMETERS:,}" in str(attempt(tmp_path / "huge.onnx"))
    model = good().model()
    model.graph.initializer[0].dims[1] = 7  # more than there is data
    (tmp_path / "wrong.onnx").write_bytes(model.SerializeToString())
    assert "too small for the declared shape" in str(attempt(tmp_path / "wrong.onnx"))
    file = OnnxFile()
    file.node("Conv", file.constant(np.zeros((0, 1, 3, 3)))), file.head(144)
    assert "it gives a map of [0, 6, 6]" in str(attempt(file.save(tmp_path)))


BOMBS: dict[str, Callable[[OnnxFile], str]] = {
    "ConstantOfShape": lambda f: f.node("ConstantOfShape", source=f.constant([1 << 20, 1 << 20], np.int64)),
    "ConstantOfShape of more than float64 holds": lambda f: f.node(
        "ConstantOfShape", source=f.constant([1 << 62] * 20, np.int64)
    ),
    "Expand": lambda f: f.node("Expand", f.constant([1 << 40], np.int64), source=f.constant([1.0])),
    "Expand of both": lambda f: f.node(
        "Expand", f.constant([1, 1 << 15], np.int64), source=f.constant(np.ones((1 << 14, 1)))
    ),
    "Gather": lambda f: f.node(
        "Gather", f.constant(np.zeros(1 << 15), np.int64), source=f.constant(np.ones((2, 1 << 14))), axis=0
    ),
    "Gather from behind": lambda f: f.node(
        "Gather", f.constant(np.zeros(1 << 15), np.int64), source=f.constant(np.ones((1 << 14, 2))), axis=-1
    ),
    "Concat": lambda f: f.node("Concat", *[f.constant(np.ones(1 << 14))] * 20000, source="c0", axis=0),
    "Add": lambda f: f.node("Add", f.constant(np.ones((1, 1 << 15))), source=f.constant(np.ones((1 << 14, 1)))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_make_large_constants(name: str, tmp_path: Path) -> None:
    """Protects the memory of this machine: what a node would make is counted before it is made."""
    bomb = OnnxFile()
    made = BOMBS[name](bomb)
    bomb.node("Add", made, source="x"), bomb.head(64)
    assert "makes a constant of" in str(attempt(bomb.save(tmp_path)))


def test_constants_whose_shapes_do_not_fit(tmp_path: Path) -> None:
    """Protects from numpy's exceptions."""
    for op, options, shapes in (("Add", {}, ([2], [3])), ("Gather", {"axis": 5}, ([2, 2], [1])), ("Range", {}, ())):
        file = OnnxFile()
        parts = [file.constant(np.zeros(shape), np.int64) for shape in shapes or ([], [], [])]
        file.node("Add", file.node(op, *parts[1:], source=parts[0], **options), source="x"), file.head(64)
        model = file.model()
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        assert "do not fit each other" in str(attempt(tmp_path / "net.onnx")), op


def test_sizes_that_are_left_open(tmp_path: Path) -> None:
    """Protects from guessing: an image's size that the file leaves open must be said, and then is enough."""
    file = good()
    file.shape = ("N", 1, "H", "W")
    path = file.save(tmp_path)
    assert "input_shape" in str(attempt(path))
    assert import_onnx(path, calibration=some_images(4), input_shape=(1, 8, 8)).model.graph.input == (1, 8, 8)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_other_precision(dtype: type, tmp_path: Path) -> None:
    """Protects half and double precision, which are read as they are."""
    file = OnnxFile()
    elem = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = file.constant(np.arange(36).reshape(4, 1, 3, 3) / 64, dtype)
    file.node("Conv", weights), file.node("Relu"), file.node("Flatten")
    file.node("MatMul", file.constant(np.ones((144, 3)) / 64, dtype))
    model = file.model()
    model.graph.input[0].type.tensor_type.elem_type = elem
    model.graph.output[0].type.tensor_type.elem_type = elem
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    imported = import_onnx(tmp_path / "net.onnx", calibration=some_images(4))
    if imported.report.restated is None:  # ONNX Runtime has no such convolution, which is told
        assert "ONNX Runtime cannot run" in imported.report.notes[0]
    else:
        assert imported.report.restated.agreement == 1.0
    expected = np.arange(36).reshape(4, 1, 3, 3) / 64
    np.testing.assert_allclose(imported.network.weights["conv1"] * 255 / 128, expected, rtol=0.01)


def test_old_opsets_and_several_inputs(tmp_path: Path) -> None:
    """Protects from files that are read by other rules than their own, or take more than images."""
    model = good().model()
    model.opset_import[0].version = 7
    (tmp_path / "old.onnx").write_bytes(model.SerializeToString())
    assert "opset 7" in str(attempt(tmp_path / "old.onnx"))
    file = good()
    file.node("Add", "other")
    model = file.model()
    model.graph.input.append(onnx.helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, [1, 3]))
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    assert "2 inputs" in str(attempt(tmp_path / "two.onnx"))


def test_wrong_normalization_and_data(tmp_path: Path) -> None:
    """Protects from images that were meant otherwise."""
    path = good().save(tmp_path)
    for options, words in (
        ({"std": 0.0}, "std is 0.0 and scale is"),
        ({"mean": (0.1, 0.2)}, "mean is (0.1, 0.2); pass one number, or one for each of 1 channels"),
        ({"mean": "dark"}, "mean is 'dark'; pass one number"),
        ({"scale": -1.0}, "scale is -1.0; both must be greater than 0"),
        ({"classes": ("a", "b")}, "has 3 outputs, and the data 2 classes: a, b"),
    ):
        assert words in str(attempt(path, **options))
    for images in (some_images(1), some_images(4, (1, 9, 9)), some_images(4).astype(np.float32)):
        with pytest.raises(ValueError, match="calibration images"):
            import_onnx(path, calibration=images)

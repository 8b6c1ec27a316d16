"""The notebook: clean as it lies here, delivered by `pynq get-notebooks`, and run top to bottom in a real kernel.

What needs pynq, nbclient and ipykernel is skipped without them: pip install pynq 'pycparser<3' nbclient ipykernel.
"""

from __future__ import annotations

import ast
import base64
import importlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host import Model
from strop.runtime import DeviceError, open_device

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOK = ROOT / "host" / "notebooks" / "first_finetune.ipynb"
PLOTS = {"pictures-before", "pictures-after", "curves"}
MADE = {"finetune.png", "lenet5-invert.safetensors"}
# A cell after the last one: what the notebook's variables hold at its end.
PROBE = """
import json

from strop.runtime import DeviceError

try:
    device.allocate(4096)
    closed = False
except DeviceError:
    closed = True
values = {"before": list(before.values()), "after": list(after.values()), "digests": [digest, emulated_digest]}
print(json.dumps({**values, "device": device.name, "closed": closed}))
"""
# Before the cell that trains: Jupyter's stop button sends this signal.
STOP_BUTTON = """
import signal


def stop_at_100(now):
    show_progress(now)
    if now.step == 100:
        os.kill(os.getpid(), signal.SIGINT)


"""


def needs(*modules: str) -> None:
    """Skip the test, and say why, where one of the modules is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def cells(kind: str) -> dict[str, str]:
    """Return the text of the notebook's cells of a kind, by their ids."""
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in found if cell["cell_type"] == kind}


# -- as it lies here ----------------------------------------------------------------------------------------------
def test_it_is_committed_clean() -> None:
    """Protects readers of diffs and new users: no output, no counter, nothing of the machine that it was made on."""
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert set(document["metadata"]) == {"kernelspec", "language_info"}
    assert document["metadata"]["kernelspec"]["name"] == "python3"  # what PYNQ's images call theirs
    assert document["metadata"]["language_info"] == {"name": "python"}
    for cell in document["cells"]:
        assert cell["metadata"] == {}, cell["id"]
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None, cell["id"]
    ids = [cell["id"] for cell in document["cells"]]
    assert len(ids) == len(set(ids))


def test_it_is_a_valid_notebook() -> None:
    """Protects what opens it: Jupyter's own schema holds."""
    needs("nbformat")
    import nbformat

    nbformat.validate(nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT))


@pytest.mark.parametrize("words", [("check", "--no-cache"), ("format", "--check", "--no-cache")])
def test_its_code_is_held_to_the_same_rules(words: tuple[str, ...]) -> None:
    """Protects the code that users copy: ruff says of it what it says of modules."""
    needs("ruff")
    ran = subprocess.run([sys.executable, "-m", "ruff", *words, NOTEBOOK], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_uses_public_names_only() -> None:
    """Protects users who build on it: what it imports is listed where there is a list, and nothing is private."""
    imported = 0
    for name, text in cells("code").items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_"), f"{name}: {node.attr}"
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("strop") for alias in node.names), f"{name}: from strop... import"
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "strop":
                module = importlib.import_module(node.module or "")
                public = getattr(module, "__all__", [word for word in vars(module) if not word.startswith("_")])
                assert "._" not in module.__name__
                assert {alias.name for alias in node.names} <= set(public), f"{name}: {module.__name__}"
                imported += 1
    assert imported >= 4


def test_it_names_no_place_outside_its_folder() -> None:
    """Protects users' files: no absolute path, no home folder, no folder above."""
    for name, text in cells("code").items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.match(r"[/~][\w/]|.*\.\./", node.value), f"{name}: {node.value!r}"


def test_commands_in_its_text_exist() -> None:
    """Protects the last cell: what it tells to type is what `strop --help` lists."""
    told = set(re.findall(r"`strop (\w+)", "\n".join(cells("markdown").values())))
    ran = subprocess.run([sys.executable, "-m", "strop.host.cli", "--help"], capture_output=True, text=True, check=True)
    assert len(told) >= 3 and told <= set(re.findall(r"^ +(\w+) ", ran.stdout, re.MULTILINE)), told


def test_the_device_can_be_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects "run all" halfway through: a board that this very notebook holds is given back before it is opened."""
    monkeypatch.setenv("STROP_DEVICE", "emulator")
    names: dict[str, Any] = {"os": os, "open_device": open_device}
    exec(cells("code")["device"], names)
    first = names["device"]
    exec(cells("code")["device"], names)
    assert names["device"] is not first
    with pytest.raises(DeviceError):
        first.allocate(4096)
    names["device"].allocate(4096)
    names["device"].close()


# -- delivered and run --------------------------------------------------------------------------------------------
def get_notebooks(*words: str) -> str:
    """Run `pynq get-notebooks` as a user does; return what it says."""
    needs("pynq")
    command = [str(Path(sys.executable).with_name("pynq")), "get-notebooks", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_pynq_lists_it() -> None:
    """Protects `pynq get-notebooks -l`, where users of a board look."""
    assert "- strop (source: strop)" in get_notebooks("-l").splitlines()


# On a board pynq finds the device's name itself; on a laptop it is named, or --ignore-overlays spares the search.
@pytest.mark.parametrize("words", [("--ignore-overlays",), ("--device", "Pynq-Z2")])
def test_pynq_delivers_it(words: tuple[str, ...], tmp_path: Path) -> None:
    """Protects the one command that brings it to Jupyter: the notebook, whole, and no file of the package with it."""
    target = tmp_path / "notebooks"
    get_notebooks("strop", *words, "--path", str(target))
    assert [path.name for path in (target / "strop").iterdir()] == [NOTEBOOK.name]
    assert (target / "strop" / NOTEBOOK.name).read_bytes() == NOTEBOOK.read_bytes()


@dataclass(frozen=True)
class Ran:
    """A notebook that ran in a folder of its own: its outputs by cell, how often a display was updated, the time."""

    device: str
    outputs: dict[str, list[Any]]
    updates: Counter[str]
    seconds: float
    folder: Path
    temporary: Path

    def text(self, cell: str) -> str:
        """Return what a cell printed."""
        return "".join(output.text for output in self.outputs[cell] if output.output_type == "stream")

    @property
    def values(self) -> dict[str, Any]:
        """What the probe found."""
        found: dict[str, Any] = json.loads(self.text("probe"))
        return found


def read_notebook(path: Path) -> Any:
    """Return a notebook with the probe behind its last cell."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE, id="probe"))
    return notebook


def run_notebook(notebook: Any, device: str, home: Path) -> Ran:
    """Run a notebook on a device by Jupyter's own machinery, in the folder below `home` where pynq puts notebooks."""
    from nbclient import NotebookClient

    class CountingClient(NotebookClient):  # type: ignore[misc]
        """Counts the updates of displays, which a finished notebook does not show."""

        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            """Count, then do as usual."""
            if msg["msg_type"] == "update_display_data":
                updates[cell.id] += 1
            return super().process_message(msg, cell, cell_index)

    updates: Counter[str] = Counter()
    folder, temporary = home / "notebooks" / "strop", home / "temporary"
    folder.mkdir(parents=True, exist_ok=True)
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STROP_DEVICE", device)
        environment.setenv("TMPDIR", str(temporary))
        for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "MPLCONFIGDIR"):
            environment.setenv(name, str(home / name))
        began = time.perf_counter()
        CountingClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
        seconds = time.perf_counter() - began
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    return Ran(device, outputs, updates, seconds, folder, temporary)


@pytest.fixture(scope="module", params=["emulator", "emulated-board"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The delivered notebook, run by Jupyter's own machinery where pynq put it, on each device in turn."""
    needs("pynq", "nbclient", "ipykernel", "matplotlib")
    home = tmp_path_factory.mktemp("home")
    get_notebooks("strop", "--ignore-overlays", "--path", str(home / "notebooks"))
    return run_notebook(read_notebook(home / "notebooks" / "strop" / NOTEBOOK.name), request.param, home)


def test_it_learns_and_says_what_it_forgot(ran: Ran) -> None:
    """Protects the point of it: from 27.0 % to 78.0 % on shifted pictures, from 91.0 % to 18.5 % on the originals."""
    found = ran.values
    assert found["device"] == ran.device
    (originals, shifted), (originals_after, shifted_after) = found["before"], found["after"]
    assert originals > 0.88 and shifted < 0.35
    assert shifted_after > 0.75
    assert originals_after < originals - 0.3
    for accuracy in (originals, originals_after, shifted, shifted_after):
        assert f"{accuracy:.1%}" in ran.text("after")


def test_it_ends_with_the_same_bytes(ran: Ran) -> None:
    """Protects the promise that it shows: the digest of the device's state and of the emulator's are equal."""
    device, emulator = ran.values["digests"]
    assert device == emulator and len(device) == 64
    assert ran.text("same").split() == [ran.device, device, "emulator", emulator, "the", "same", "bytes"]


def test_its_plots_are_pictures(ran: Ran) -> None:
    """Protects what a user sees: each plot is a PNG of a readable size that is not blank."""
    from matplotlib.image import imread

    drawn = {}
    for cell, outputs in ran.outputs.items():
        for output in outputs:
            if "image/png" in output.get("data", {}):
                drawn[cell] = imread(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert set(drawn) == PLOTS
    for cell, pixels in drawn.items():
        assert pixels.shape[1] > 800 and pixels.shape[0] > 300, cell
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100, cell
    assert (drawn["pictures-before"] != drawn["pictures-after"]).any()  # other answers, in other colours


def test_its_progress_bar_lives(ran: Ran) -> None:
    """Protects the wait on a slow device: the bar moves while it trains, and ends full, without ipywidgets."""
    assert ran.updates == {"fit": 30}
    (bar,) = (output.data["text/html"] for output in ran.outputs["fit"])
    assert "<progress value=300 max=300 " in bar and "300/300" in bar and "pictures/s" in bar


def test_it_tells_measured_from_modelled(ran: Ran) -> None:
    """Protects readers from taking a model for a measurement; each board that it is made for is there."""
    rows = [line.split() for line in ran.text("cost").splitlines()]
    told = {(row[0], row[1]) for row in rows if row and row[-1] == "ms"}
    assert ("measured", ran.device) in told
    assert {("modelled", board) for board in ("pynq-z2", "kv260", "zcu104")} <= told
    assert "MiB" in ran.text("cost") and "workspace" in ran.text("cost")


def test_it_says_which_device_it_took(ran: Ran) -> None:
    """Protects the first answer that a user gets, and from noise: no cell writes to stderr."""
    assert ran.text("device").startswith(f"{ran.device}: ")
    noise = {
        cell: output.text for cell in ran.outputs for output in ran.outputs[cell] if output.get("name") == "stderr"
    }
    assert noise == {}


def test_it_keeps_to_its_folder_and_gives_the_device_back(ran: Ran) -> None:
    """Protects the next program and the user's disk: a plot and a checkpoint that loads, and nothing else anywhere."""
    assert ran.values["closed"]
    assert {path.name for path in ran.folder.iterdir()} == {NOTEBOOK.name, *MADE}
    assert [path.name for path in ran.folder.parent.iterdir() if not path.name.startswith(".")] == ["strop"]
    assert list(ran.temporary.iterdir()) == []
    with Model.load(ran.folder / "lenet5-invert.safetensors", device="emulator") as model:
        assert model.digest() == ran.values["digests"][0]


def test_the_stop_button_loses_nothing(tmp_path: Path) -> None:
    """Protects what it says of the toolbar's stop: what it tells to type goes on, and all ends with the same bytes."""
    needs("pynq", "nbclient", "ipykernel", "matplotlib")
    import nbformat

    (told,) = re.findall(r"^`(history = model\.resume\(.*\))`", cells("markdown")["about-fit"], re.MULTILINE)
    notebook = read_notebook(NOTEBOOK)
    place = [cell.id for cell in notebook.cells].index("fit")
    fit = notebook.cells[place]
    fit.metadata["tags"] = ["raises-exception"]  # the run goes on after it, as a user does
    assert fit.source.count("on_step=show_progress") == 1
    fit.source = STOP_BUTTON + fit.source.replace("on_step=show_progress", "on_step=stop_at_100")
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(told, id="resume"))
    ran = run_notebook(notebook, "emulated-board", tmp_path)
    assert [output.ename for output in ran.outputs["fit"] if output.output_type == "error"] == ["KeyboardInterrupt"]
    assert ran.updates["fit"] >= 10 and ran.updates["fit"] + ran.updates["resume"] == 30  # no step twice
    device, emulator = ran.values["digests"]
    assert device == emulator and ran.values["after"][1] > 0.75


def test_it_takes_less_than_a_minute(ran: Ran) -> None:
    """Protects a user's patience, with room: the emulator took 3 s, an emulated board 4 s."""
    assert ran.seconds < 60

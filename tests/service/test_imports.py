"""Checkpoints from outside: which become versions, which are refused, and that a refusal leaves nothing."""

from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from model_files import tiny_file
from strop.host import Model
from strop.service import imports
from strop.service.imports import import_version
from strop.service.problems import Problem
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database
from tiny_models import tiny_graph


@pytest.fixture
def database(settings: Settings) -> Database:
    """The settings' database, fresh."""
    return Database(settings.data / "strop.db")


def files(settings: Settings) -> list[Path]:
    """Return the files of versions."""
    return list(settings.folder("versions").iterdir())


def test_a_new_model_and_its_next_version(settings: Settings, database: Database, tmp_path: Path) -> None:
    """Protects imports: the file is kept as it came; the first version is production, the next one is not yet."""
    one, other = tiny_file(tmp_path / "one", 1), tiny_file(tmp_path / "other", 2)
    model, first, new = import_version(settings, database, "tiny", one, "mine", "key_x")
    _, second, also_new = import_version(settings, database, "tiny", other, "mine")
    assert (first.number, second.number, new, also_new) == (1, 2, True, True)
    assert (settings.data / first.path).read_bytes() == one.read_bytes()
    assert first.file_sha256 == hashlib.sha256(one.read_bytes()).hexdigest()
    assert models.aliases(database.read(), model.id) == {"production": first.id}
    (deployed,) = models.history(database.read(), model.id)
    assert (deployed.action, deployed.reason, deployed.key_id) == ("import", "mine", "key_x")


def test_the_same_file_again_is_the_same_version(settings: Settings, database: Database, tmp_path: Path) -> None:
    """Protects clients that repeat an import after a broken connection, and the disk."""
    file = tiny_file(tmp_path / "one")
    _, first, _ = import_version(settings, database, "tiny", file, "mine")
    _, again, new = import_version(settings, database, "tiny", file, "mine")
    assert (again, new) == (first, False)
    assert len(files(settings)) == 1


def test_the_same_file_twice_at_once_is_one_version(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects against two requests that pass each other: the second finds the first's version when it records."""
    file = tiny_file(tmp_path / "one")
    write = imports.write_atomically

    def slowly(path: Path, parts: list[bytes]) -> Path:
        monkeypatch.setattr(imports, "write_atomically", write)
        import_version(settings, database, "tiny", file, "overtaker")
        return write(path, parts)

    monkeypatch.setattr(imports, "write_atomically", slowly)
    _, version, new = import_version(settings, database, "tiny", file, "mine")
    assert (version.number, version.manifest["source"], new) == (1, "overtaker", False)
    assert len(files(settings)) == 1


def test_a_failure_while_recording_leaves_no_file(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the disk: what the database did not take is removed."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(models, "add_version", fail)
    with pytest.raises(OSError, match="no"):
        import_version(settings, database, "tiny", tiny_file(tmp_path / "one"), "mine")
    assert files(settings) == []
    assert models.all_models(database.read()) == []


def bad(path: Path, kind: str) -> Path:
    """Write a file that is no version; return its path."""
    good = tiny_file(path.with_name("good")).read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(good[:-100])
    elif kind == "longer":
        path.write_bytes(good + b"more")
    elif kind == "one bit":
        path.write_bytes(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    elif kind == "foreign":
        path.write_bytes(safetensors.numpy.save({"w": np.zeros(4, np.float32)}))
    elif kind == "overlapping":
        path.write_bytes(overlapping(good))
    return path


def overlapping(good: bytes) -> bytes:
    """Return a file of 16 MiB in which 200 tensors lie over one another: read one by one they would be 3 GiB."""
    size = 16 << 20
    length = int.from_bytes(good[:8], "little")
    metadata = json.loads(good[8 : 8 + length])["__metadata__"]
    manifest = json.loads(metadata["strop.manifest"])
    digest = hashlib.sha256(bytes(size)).hexdigest()
    entry = {"dtype": "I32", "shape": [size // 4], "data_offsets": [0, size]}
    listed = {"dtype": "int32", "shape": [size // 4], "sha256": digest}
    names = [f"t{n}" for n in range(200)]
    text = json.dumps({**manifest, "tensors": dict.fromkeys(names, listed)})
    sealed = {"strop.manifest": text, "strop.manifest.sha256": hashlib.sha256(text.encode()).hexdigest()}
    header = json.dumps({"__metadata__": sealed, **dict.fromkeys(names, entry)}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize("kind", ["empty", "truncated", "longer", "one bit", "pickle", "foreign", "overlapping"])
def test_what_is_no_checkpoint_is_refused(settings: Settings, database: Database, tmp_path: Path, kind: str) -> None:
    """Protects the service from corrupt, foreign and lying files: refused in little memory, and nothing stays."""
    file = bad(tmp_path / "bad", kind)
    tracemalloc.start()
    with pytest.raises(Problem) as caught:
        import_version(settings, database, "tiny", file, "mine")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == "model_invalid"
    assert str(tmp_path) not in caught.value.detail
    assert peak < 8 << 20
    assert files(settings) == []
    assert models.all_models(database.read()) == []


def test_another_network_or_other_classes_are_refused(settings: Settings, database: Database, tmp_path: Path) -> None:
    """Protects who asks by name: all versions of a model take the same images and answer in the same classes."""
    import_version(settings, database, "tiny", tiny_file(tmp_path / "one"), "mine")
    with pytest.raises(Problem, match="another one") as caught:
        import_version(settings, database, "tiny", tiny_file(tmp_path / "wider", features=9), "mine")
    assert caught.value.code == "model_invalid"
    with Model.create(tiny_graph(), classes=("up", "down", "both"), device="emulator", threads=1) as model:
        model.save(tmp_path / "renamed")
    with pytest.raises(Problem, match="classes up, down, both"):
        import_version(settings, database, "tiny", tmp_path / "renamed", "mine")
    assert len(files(settings)) == 1


def test_a_never_trained_network_can_be_imported(settings: Settings, database: Database, tmp_path: Path) -> None:
    """Protects the way to a network of one's own: it comes untrained, and a job trains it here."""
    _, version, new = import_version(settings, database, "tiny", tiny_file(tmp_path / "new", steps=0), "mine")
    assert (version.manifest["steps"], new) == (0, True)
